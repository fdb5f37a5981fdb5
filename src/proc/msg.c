/*
 * Readers and writers of the messages (msg.h). Text is length (2) and bytes without NUL, bytes are
 * length (4) and bytes, a boolean is one byte of 0 or 1.
 */
#include "src/proc/msg_parts.h"

#include <string.h>

/* Far above any body that is not in a memfd; keys never make a buffer grow, which would copy them. */
#define WRITE_RESERVE 8192u

/* ---- messages ---------------------------------------------------------------------------------- */
static void msg_none_write(const struct msg_none *m, struct sl_wr *w)
{
    (void)m, (void)w;
}
static void msg_none_read(struct msg_none *m, struct sl_rd *r)
{
    (void)r;
    m->unused = 0;
}

static void msg_hand_write(const struct msg_hand *m, struct sl_wr *w)
{
    sl_wr_u16(w, (uint16_t)m->name_n);
    for (size_t i = 0; i < m->name_n; i++)
        wr_text(w, m->name[i]);
}
static void msg_hand_read(struct msg_hand *m, struct sl_rd *r)
{
    m->name_n = rd_count(r, SL_ARRAY_LEN(m->name));
    for (size_t i = 0; i < m->name_n; i++)
        rd_text(r, m->name[i], sizeof(m->name[i]));
}

/* role (1), file, user (4), group (4), n, role (1)... */
static void msg_start_write(const struct msg_start *m, struct sl_wr *w)
{
    sl_wr_u8(w, m->role);
    wr_text(w, m->config_file);
    sl_wr_u32(w, m->user);
    sl_wr_u32(w, m->group);
    sl_wr_u16(w, (uint16_t)m->link_n);
    for (size_t i = 0; i < m->link_n; i++)
        sl_wr_u8(w, m->link[i]);
}
static void msg_start_read(struct msg_start *m, struct sl_rd *r)
{
    m->role = sl_rd_u8(r);
    rd_text(r, m->config_file, sizeof(m->config_file));
    m->user = sl_rd_u32(r);
    m->group = sl_rd_u32(r);
    m->link_n = rd_count(r, SL_ARRAY_LEN(m->link));
    for (size_t i = 0; i < m->link_n; i++)
        m->link[i] = sl_rd_u8(r);
}

static void msg_link_write(const struct msg_link *m, struct sl_wr *w)
{
    sl_wr_u8(w, m->role);
}
static void msg_link_read(struct msg_link *m, struct sl_rd *r)
{
    m->role = sl_rd_u8(r);
}

/* n, then each: role (1), pid (4), ready (1), started (8), restarts (4), lost */
static void msg_procs_write(const struct msg_procs *m, struct sl_wr *w)
{
    sl_wr_u16(w, (uint16_t)m->proc_n);
    for (size_t i = 0; i < m->proc_n; i++) {
        const struct msg_proc *p = &m->proc[i];
        sl_wr_u8(w, p->role);
        sl_wr_u32(w, p->pid);
        sl_wr_u8(w, p->ready);
        sl_wr_u64(w, (uint64_t)p->started_utc_s);
        sl_wr_u32(w, p->restarts);
        wr_text(w, p->lost);
    }
}
static void msg_procs_read(struct msg_procs *m, struct sl_rd *r)
{
    m->proc_n = rd_count(r, SL_ARRAY_LEN(m->proc));
    for (size_t i = 0; i < m->proc_n; i++) {
        struct msg_proc *p = &m->proc[i];
        p->role = sl_rd_u8(r);
        p->pid = sl_rd_u32(r);
        p->ready = rd_bool(r);
        p->started_utc_s = (int64_t)sl_rd_u64(r);
        p->restarts = sl_rd_u32(r);
        rd_text(r, p->lost, sizeof(p->lost));
    }
}

/* name, signature scheme (1), data */
static void msg_key_sign_write(const struct msg_key_sign *m, struct sl_wr *w)
{
    wr_text(w, m->name);
    sl_wr_u8(w, (uint8_t)m->sig);
    sl_wr_part32(w, m->data);
}
static void msg_key_sign_read(struct msg_key_sign *m, struct sl_rd *r)
{
    rd_text(r, m->name, sizeof(m->name));
    m->sig = rd_sig(r);
    m->data = sl_rd_part32(r);
}

static void msg_key_decrypt_write(const struct msg_key_decrypt *m, struct sl_wr *w)
{
    wr_text(w, m->name);
    sl_wr_u8(w, m->oaep);
    sl_wr_part32(w, m->cipher);
}
static void msg_key_decrypt_read(struct msg_key_decrypt *m, struct sl_rd *r)
{
    rd_text(r, m->name, sizeof(m->name));
    m->oaep = rd_bool(r);
    m->cipher = sl_rd_part32(r);
}

static void msg_key_generate_write(const struct msg_key_generate *m, struct sl_wr *w)
{
    wr_text(w, m->name);
    wr_text(w, m->alg);
}
static void msg_key_generate_read(struct msg_key_generate *m, struct sl_rd *r)
{
    rd_text(r, m->name, sizeof(m->name));
    rd_text(r, m->alg, sizeof(m->alg));
}

static void msg_key_name_write(const struct msg_key_name *m, struct sl_wr *w)
{
    wr_text(w, m->name);
}
static void msg_key_name_read(struct msg_key_name *m, struct sl_rd *r)
{
    rd_text(r, m->name, sizeof(m->name));
}

static void msg_key_rename_write(const struct msg_key_rename *m, struct sl_wr *w)
{
    wr_text(w, m->from);
    wr_text(w, m->to);
}
static void msg_key_rename_read(struct msg_key_rename *m, struct sl_rd *r)
{
    rd_text(r, m->from, sizeof(m->from));
    rd_text(r, m->to, sizeof(m->to));
}

static void msg_key_psk_auth_write(const struct msg_key_psk_auth *m, struct sl_wr *w)
{
    wr_text(w, m->name);
    sl_wr_u16(w, (uint16_t)m->prf);
    sl_wr_part32(w, m->octets);
}
static void msg_key_psk_auth_read(struct msg_key_psk_auth *m, struct sl_rd *r)
{
    rd_text(r, m->name, sizeof(m->name));
    m->prf = (enum sl_prf)sl_rd_u16(r);
    m->octets = sl_rd_part32(r);
}

static void msg_key_psk_v1_write(const struct msg_key_psk_v1 *m, struct sl_wr *w)
{
    wr_text(w, m->name);
    sl_wr_u16(w, (uint16_t)m->prf);
    sl_wr_part32(w, m->nonces);
    sl_wr_part32(w, m->octets);
}
static void msg_key_psk_v1_read(struct msg_key_psk_v1 *m, struct sl_rd *r)
{
    rd_text(r, m->name, sizeof(m->name));
    m->prf = (enum sl_prf)sl_rd_u16(r);
    m->nonces = sl_rd_part32(r);
    m->octets = sl_rd_part32(r);
}

static void msg_key_reply_write(const struct msg_key_reply *m, struct sl_wr *w)
{
    wr_rc(w, m->rc);
    wr_text(w, m->text);
    sl_wr_part32(w, m->bytes);
}
static void msg_key_reply_read(struct msg_key_reply *m, struct sl_rd *r)
{
    m->rc = rd_rc(r);
    rd_text(r, m->text, sizeof(m->text));
    m->bytes = sl_rd_part32(r);
}

void msg_key_item_write(const struct msg_key_item *m, struct sl_wr *w)
{
    wr_text(w, m->name);
    sl_wr_part32(w, m->spki);
}
bool msg_key_item_read(struct msg_key_item *m, struct sl_rd *r)
{
    rd_text(r, m->name, sizeof(m->name));
    m->spki = sl_rd_part32(r);
    return sl_rd_ok(r);
}

static void msg_http_write(const struct msg_http *m, struct sl_wr *w)
{
    wr_text(w, m->method);
    sl_wr_part32(w, m->uri);
    wr_text(w, m->content_type);
    wr_text(w, m->accept);
    sl_wr_part32(w, m->body);
    sl_wr_u32(w, m->max_bytes);
    sl_wr_u32(w, m->deadline_ms);
    sl_wr_u8(w, m->follow);
    sl_wr_u8(w, m->configured);
    wr_text(w, m->etag);
    wr_text(w, m->last_modified);
}
static void msg_http_read(struct msg_http *m, struct sl_rd *r)
{
    rd_text(r, m->method, sizeof(m->method));
    m->uri = sl_rd_part32(r);
    rd_text(r, m->content_type, sizeof(m->content_type));
    rd_text(r, m->accept, sizeof(m->accept));
    m->body = sl_rd_part32(r);
    m->max_bytes = sl_rd_u32(r);
    m->deadline_ms = sl_rd_u32(r);
    m->follow = rd_bool(r);
    m->configured = rd_bool(r);
    rd_text(r, m->etag, sizeof(m->etag));
    rd_text(r, m->last_modified, sizeof(m->last_modified));
}

static void msg_http_reply_write(const struct msg_http_reply *m, struct sl_wr *w)
{
    wr_rc(w, m->rc);
    wr_text(w, m->text);
    sl_wr_u16(w, m->status);
    wr_text(w, m->content_type);
    wr_text(w, m->etag);
    wr_text(w, m->last_modified);
    sl_wr_part32(w, m->body);
    sl_wr_u32(w, m->value_n);
}
static void msg_http_reply_read(struct msg_http_reply *m, struct sl_rd *r)
{
    m->rc = rd_rc(r);
    rd_text(r, m->text, sizeof(m->text));
    m->status = sl_rd_u16(r);
    rd_text(r, m->content_type, sizeof(m->content_type));
    rd_text(r, m->etag, sizeof(m->etag));
    rd_text(r, m->last_modified, sizeof(m->last_modified));
    m->body = sl_rd_part32(r);
    m->value_n = sl_rd_u32(r);
}

static void msg_ldap_write(const struct msg_ldap *m, struct sl_wr *w)
{
    wr_text(w, m->directory);
    sl_wr_part32(w, m->base);
    sl_wr_part32(w, m->filter);
    sl_wr_u8(w, (uint8_t)m->scope);
    sl_wr_u16(w, (uint16_t)m->attr_n);
    for (size_t i = 0; i < m->attr_n; i++)
        wr_text(w, m->attr[i]);
    sl_wr_u32(w, m->limit);
    sl_wr_u32(w, m->deadline_ms);
}
static void msg_ldap_read(struct msg_ldap *m, struct sl_rd *r)
{
    rd_text(r, m->directory, sizeof(m->directory));
    m->base = sl_rd_part32(r);
    m->filter = sl_rd_part32(r);
    uint8_t scope = sl_rd_u8(r);
    if (scope > MSG_LDAP_SUB)
        sl_rd_fail(r);
    m->scope = (enum msg_ldap_scope)scope;
    m->attr_n = rd_count(r, SL_ARRAY_LEN(m->attr));
    for (size_t i = 0; i < m->attr_n; i++)
        rd_text(r, m->attr[i], sizeof(m->attr[i]));
    m->limit = sl_rd_u32(r);
    m->deadline_ms = sl_rd_u32(r);
}

void msg_ldap_value_write(const struct msg_ldap_value *m, struct sl_wr *w)
{
    sl_wr_part16(w, m->attr);
    sl_wr_part32(w, m->value);
}
bool msg_ldap_value_read(struct msg_ldap_value *m, struct sl_rd *r)
{
    m->attr = sl_rd_part16(r);
    m->value = sl_rd_part32(r);
    return sl_rd_ok(r);
}

/* dn, n (4), length (4) of the values, value... */
void msg_ldap_entry_write(const struct msg_ldap_entry *m, struct sl_wr *w)
{
    sl_wr_part32(w, m->dn);
    sl_wr_u32(w, m->value_n);
    sl_wr_part32(w, m->values);
}
bool msg_ldap_entry_read(struct msg_ldap_entry *m, struct sl_rd *r)
{
    m->dn = sl_rd_part32(r);
    m->value_n = sl_rd_u32(r);
    m->values = sl_rd_part32(r);
    struct sl_rd v = sl_rd(m->values);
    struct msg_ldap_value value;
    uint32_t n = 0;
    while (sl_rd_left(&v) && msg_ldap_value_read(&value, &v))
        n++;
    if (!sl_rd_done(&v) || n != m->value_n)
        sl_rd_fail(r);
    return sl_rd_ok(r);
}

static void msg_ldap_reply_write(const struct msg_ldap_reply *m, struct sl_wr *w)
{
    wr_rc(w, m->rc);
    wr_text(w, m->text);
    sl_wr_u32(w, m->entry_n);
    sl_wr_part32(w, m->entries);
}
static void msg_ldap_reply_read(struct msg_ldap_reply *m, struct sl_rd *r)
{
    m->rc = rd_rc(r);
    rd_text(r, m->text, sizeof(m->text));
    m->entry_n = sl_rd_u32(r);
    m->entries = sl_rd_part32(r);
    struct sl_rd e = sl_rd(m->entries);
    struct msg_ldap_entry entry;
    uint32_t n = 0;
    while (sl_rd_left(&e) && msg_ldap_entry_read(&entry, &e))
        n++;
    if (!sl_rd_done(&e) || n != m->entry_n)
        sl_rd_fail(r);
}

static void msg_decide_write(const struct sl_decision_ask *m, struct sl_wr *w)
{
    wr_text(w, m->connection);
    wr_endpoint(w, &m->local);
    wr_endpoint(w, &m->remote);
    wr_id(w, &m->id);
    wr_id(w, &m->id_local);
    wr_list(w, m->cert, m->cert_n);
    wr_list(w, m->ocsp, m->ocsp_n);
    sl_wr_u8(w, (uint8_t)m->possession);
    sl_wr_u8(w, (uint8_t)m->sig);
    sl_wr_part32(w, m->octets);
    sl_wr_part32(w, m->auth);
    sl_wr_u16(w, (uint16_t)m->prf);
    sl_wr_part32(w, m->nonces);
    sl_wr_u64(w, m->sa);
    wr_addr(w, &m->wish[0]);
    wr_addr(w, &m->wish[1]);
}
static void msg_decide_read(struct sl_decision_ask *m, struct sl_rd *r)
{
    rd_text(r, m->connection, sizeof(m->connection));
    rd_endpoint(r, &m->local);
    rd_endpoint(r, &m->remote);
    rd_id(r, &m->id);
    rd_id(r, &m->id_local);
    m->cert_n = rd_list(r, m->cert, SL_ARRAY_LEN(m->cert));
    m->ocsp_n = rd_list(r, m->ocsp, SL_ARRAY_LEN(m->ocsp));
    uint8_t possession = sl_rd_u8(r);
    if (possession < SL_POSSESSION_SIGNATURE || possession > SL_POSSESSION_PSK_V1)
        sl_rd_fail(r);
    m->possession = (enum sl_possession)possession;
    m->sig = rd_sig(r);
    m->octets = sl_rd_part32(r);
    m->auth = sl_rd_part32(r);
    m->prf = (enum sl_prf)sl_rd_u16(r);
    m->nonces = sl_rd_part32(r);
    m->sa = sl_rd_u64(r);
    rd_pair(r, m->wish);
}

/* addresses (IPv4, IPv6), servers: n (2) and each, domains */
static void wr_virtual(struct sl_wr *w, const struct sl_virtual *v)
{
    wr_addr(w, &v->addr[0]);
    wr_addr(w, &v->addr[1]);
    sl_wr_u16(w, (uint16_t)v->dns_n);
    for (size_t i = 0; i < v->dns_n; i++)
        wr_addr(w, &v->dns[i]);
    wr_text(w, v->split_dns);
}

static void rd_virtual(struct sl_rd *r, struct sl_virtual *v)
{
    rd_pair(r, v->addr);
    v->dns_n = rd_count(r, SL_DNS_MAX);
    for (size_t i = 0; i < v->dns_n; i++) {
        rd_addr(r, &v->dns[i]);
        if (!v->dns[i].family)
            sl_rd_fail(r);
    }
    rd_text(r, v->split_dns, sizeof(v->split_dns));
}

static void msg_verdict_write(const struct sl_verdict *m, struct sl_wr *w)
{
    wr_rc(w, m->rc);
    wr_text(w, m->text);
    wr_text(w, m->rule);
    wr_text(w, m->entry);
    wr_text(w, m->subject);
    sl_wr_u64(w, (uint64_t)m->reask_utc_s);
    sl_wr_u64(w, m->record);
    wr_ts_list(w, m->grant.ts, m->grant.ts_n);
    sl_wr_u32(w, m->grant.lifetime_s);
    wr_text(w, m->grant.tag);
    wr_virtual(w, &m->grant.vip);
    wr_rc(w, m->grant.vip_rc);
}
static void msg_verdict_read(struct sl_verdict *m, struct sl_rd *r)
{
    m->rc = rd_rc(r);
    rd_text(r, m->text, sizeof(m->text));
    rd_text(r, m->rule, sizeof(m->rule));
    rd_text(r, m->entry, sizeof(m->entry));
    rd_text(r, m->subject, sizeof(m->subject));
    m->reask_utc_s = (int64_t)sl_rd_u64(r);
    m->record = sl_rd_u64(r);
    m->grant.ts_n = rd_ts_list(r, m->grant.ts);
    m->grant.lifetime_s = sl_rd_u32(r);
    rd_text(r, m->grant.tag, sizeof(m->grant.tag));
    rd_virtual(r, &m->grant.vip);
    m->grant.vip_rc = rd_rc(r);
}

static void msg_credential_write(const struct msg_credential *m, struct sl_wr *w)
{
    wr_text(w, m->identity);
    wr_text(w, m->key);
    wr_list(w, m->chain, m->chain_n);
}
static void msg_credential_read(struct msg_credential *m, struct sl_rd *r)
{
    rd_text(r, m->identity, sizeof(m->identity));
    rd_text(r, m->key, sizeof(m->key));
    m->chain_n = rd_list(r, m->chain, SL_ARRAY_LEN(m->chain));
}

/* identity, n (2), then for each: depth (1), valid (4), responder (20), response */
static void msg_staples_write(const struct msg_staples *m, struct sl_wr *w)
{
    wr_text(w, m->identity);
    sl_wr_u16(w, (uint16_t)m->staple_n);
    for (size_t i = 0; i < m->staple_n; i++) {
        const struct sl_staple *s = &m->staple[i];
        sl_wr_u8(w, s->depth);
        sl_wr_u32(w, s->valid_s);
        sl_wr_put(w, sl_bytes(s->responder, sizeof(s->responder)));
        sl_wr_part32(w, s->response);
    }
}
static void msg_staples_read(struct msg_staples *m, struct sl_rd *r)
{
    rd_text(r, m->identity, sizeof(m->identity));
    m->staple_n = rd_count(r, SL_ARRAY_LEN(m->staple));
    for (size_t i = 0; i < m->staple_n; i++) {
        struct sl_staple *s = &m->staple[i];
        s->depth = sl_rd_u8(r);
        s->valid_s = sl_rd_u32(r);
        const struct sl_bytes responder = sl_rd_take(r, sizeof(s->responder));
        if (responder.len == sizeof(s->responder))
            memcpy(s->responder, responder.p, sizeof(s->responder));
        s->response = sl_rd_part32(r);
        if (s->depth >= SL_CHAIN_MAX || s->response.len == 0 ||
            s->response.len > SL_STAPLE_MAX_BYTES)
            sl_rd_fail(r);
    }
}

static void msg_anchors_write(const struct msg_anchors *m, struct sl_wr *w)
{
    wr_text(w, m->trust);
    sl_wr_part32(w, m->hashes);
}
static void msg_anchors_read(struct msg_anchors *m, struct sl_rd *r)
{
    rd_text(r, m->trust, sizeof(m->trust));
    m->hashes = sl_rd_part32(r);
    if (m->hashes.len % 20)
        sl_rd_fail(r);
}

static void msg_end_sa_write(const struct msg_end_sa *m, struct sl_wr *w)
{
    sl_wr_u64(w, m->ike_sa);
    wr_rc(w, m->rc);
}
static void msg_end_sa_read(struct msg_end_sa *m, struct sl_rd *r)
{
    m->ike_sa = sl_rd_u64(r);
    m->rc = rd_rc(r);
}

static void msg_lease_write(const struct msg_lease *m, struct sl_wr *w)
{
    sl_wr_u64(w, m->ike_sa);
    wr_id(w, &m->id);
    wr_addr(w, &m->addr[0]);
    wr_addr(w, &m->addr[1]);
}
static void msg_lease_read(struct msg_lease *m, struct sl_rd *r)
{
    m->ike_sa = sl_rd_u64(r);
    rd_id(r, &m->id);
    rd_pair(r, m->addr);
}

static void msg_sa_event_write(const struct msg_sa_event *m, struct sl_wr *w)
{
    sl_wr_u8(w, (uint8_t)m->event);
    wr_rc(w, m->rc);
    sl_wr_u64(w, m->ike_sa);
    sl_wr_u64(w, m->child_id);
    wr_text(w, m->connection);
    wr_text(w, m->child);
    wr_id(w, &m->peer);
    wr_endpoint(w, &m->remote);
    wr_text(w, m->text);
}
static void msg_sa_event_read(struct msg_sa_event *m, struct sl_rd *r)
{
    uint8_t event = sl_rd_u8(r);
    if (event < SL_IKE_EV_IKE_UP || event > SL_IKE_EV_STORY)
        sl_rd_fail(r);
    m->event = (enum sl_ike_event)event;
    m->rc = rd_rc(r);
    m->ike_sa = sl_rd_u64(r);
    m->child_id = sl_rd_u64(r);
    rd_text(r, m->connection, sizeof(m->connection));
    rd_text(r, m->child, sizeof(m->child));
    rd_id(r, &m->peer);
    rd_endpoint(r, &m->remote);
    rd_text(r, m->text, sizeof(m->text));
}

static void msg_child_add_write(const struct sl_child *m, struct sl_wr *w)
{
    sl_wr_u64(w, m->id);
    sl_wr_u64(w, m->ike_sa);
    sl_wr_u64(w, m->replaces);
    wr_text(w, m->connection);
    wr_text(w, m->child);
    wr_endpoint(w, &m->local);
    wr_endpoint(w, &m->remote);
    sl_wr_u8(w, m->udp_encap);
    sl_wr_u8(w, m->esn);
    sl_wr_u32(w, m->spi_in);
    sl_wr_u32(w, m->spi_out);
    wr_suite(w, &m->suite);
    wr_secret(w, &m->encr_in);
    wr_secret(w, &m->integ_in);
    wr_secret(w, &m->encr_out);
    wr_secret(w, &m->integ_out);
    wr_ts_list(w, m->ts_local, m->ts_local_n);
    wr_ts_list(w, m->ts_remote, m->ts_remote_n);
    sl_wr_u32(w, m->replay_window_pkts);
    sl_wr_u64(w, m->limits.soft_bytes);
    sl_wr_u64(w, m->limits.hard_bytes);
    sl_wr_u64(w, m->limits.soft_packets);
    sl_wr_u64(w, m->limits.hard_packets);
    sl_wr_u8(w, m->outbound);
    wr_addr(w, &m->vip[0]);
    wr_addr(w, &m->vip[1]);
}
static void msg_child_add_read(struct sl_child *m, struct sl_rd *r)
{
    m->id = sl_rd_u64(r);
    m->ike_sa = sl_rd_u64(r);
    m->replaces = sl_rd_u64(r);
    rd_text(r, m->connection, sizeof(m->connection));
    rd_text(r, m->child, sizeof(m->child));
    rd_endpoint(r, &m->local);
    rd_endpoint(r, &m->remote);
    m->udp_encap = rd_bool(r);
    m->esn = rd_bool(r);
    m->spi_in = sl_rd_u32(r);
    m->spi_out = sl_rd_u32(r);
    rd_suite(r, &m->suite);
    rd_secret(r, &m->encr_in);
    rd_secret(r, &m->integ_in);
    rd_secret(r, &m->encr_out);
    rd_secret(r, &m->integ_out);
    m->ts_local_n = rd_ts_list(r, m->ts_local);
    m->ts_remote_n = rd_ts_list(r, m->ts_remote);
    m->replay_window_pkts = sl_rd_u32(r);
    m->limits.soft_bytes = sl_rd_u64(r);
    m->limits.hard_bytes = sl_rd_u64(r);
    m->limits.soft_packets = sl_rd_u64(r);
    m->limits.hard_packets = sl_rd_u64(r);
    m->outbound = rd_bool(r);
    rd_pair(r, m->vip);
}

static void msg_child_write(const struct msg_child *m, struct sl_wr *w)
{
    sl_wr_u64(w, m->child_id);
}
static void msg_child_read(struct msg_child *m, struct sl_rd *r)
{
    m->child_id = sl_rd_u64(r);
}

static void msg_child_move_write(const struct msg_child_move *m, struct sl_wr *w)
{
    sl_wr_u64(w, m->child_id);
    wr_endpoint(w, &m->local);
    wr_endpoint(w, &m->remote);
    sl_wr_u8(w, m->udp_encap);
}
static void msg_child_move_read(struct msg_child_move *m, struct sl_rd *r)
{
    m->child_id = sl_rd_u64(r);
    rd_endpoint(r, &m->local);
    rd_endpoint(r, &m->remote);
    m->udp_encap = rd_bool(r);
}

static void msg_child_failed_write(const struct msg_child_failed *m, struct sl_wr *w)
{
    sl_wr_u64(w, m->child_id);
    wr_rc(w, m->rc);
    wr_text(w, m->text);
}
static void msg_child_failed_read(struct msg_child_failed *m, struct sl_rd *r)
{
    m->child_id = sl_rd_u64(r);
    m->rc = rd_rc(r);
    rd_text(r, m->text, sizeof(m->text));
}

static void msg_address_write(const struct msg_address *m, struct sl_wr *w)
{
    wr_addr(w, &m->addr);
}
static void msg_address_read(struct msg_address *m, struct sl_rd *r)
{
    rd_addr(r, &m->addr);
    if (!m->addr.family)
        sl_rd_fail(r);
}

static void msg_route_write(const struct msg_route *m, struct sl_wr *w)
{
    wr_addr(w, &m->prefix.addr);
    sl_wr_u8(w, m->prefix.len);
    sl_wr_u8(w, m->near);
    wr_addr(w, &m->local_first);
    wr_addr(w, &m->local_last);
}
static void msg_route_read(struct msg_route *m, struct sl_rd *r)
{
    rd_addr(r, &m->prefix.addr);
    m->prefix.len = sl_rd_u8(r);
    m->near = rd_bool(r);
    rd_addr(r, &m->local_first);
    rd_addr(r, &m->local_last);
    if (!m->prefix.addr.family || m->prefix.len > 8 * sl_addr_len(&m->prefix.addr) ||
        m->local_first.family != m->local_last.family)
        sl_rd_fail(r);
}

static void msg_audit_write(const struct msg_audit *m, struct sl_wr *w)
{
    wr_text(w, m->kind);
    sl_wr_part32(w, m->json);
}
static void msg_audit_read(struct msg_audit *m, struct sl_rd *r)
{
    rd_text(r, m->kind, sizeof(m->kind));
    m->json = sl_rd_part32(r);
}

static void msg_audit_done_write(const struct msg_audit_done *m, struct sl_wr *w)
{
    wr_rc(w, m->rc);
    wr_text(w, m->text);
    sl_wr_u64(w, m->number);
}
static void msg_audit_done_read(struct msg_audit_done *m, struct sl_rd *r)
{
    m->rc = rd_rc(r);
    rd_text(r, m->text, sizeof(m->text));
    m->number = sl_rd_u64(r);
}

static void msg_revoked_write(const struct msg_revoked *m, struct sl_wr *w)
{
    sl_wr_part32(w, m->issuer);
    sl_wr_part16(w, m->serial);
    sl_wr_u8(w, m->reason);
    sl_wr_u64(w, (uint64_t)m->utc_s);
    sl_wr_part32(w, m->crl);
}
static void msg_revoked_read(struct msg_revoked *m, struct sl_rd *r)
{
    m->issuer = sl_rd_part32(r);
    m->serial = sl_rd_part16(r);
    m->reason = sl_rd_u8(r);
    m->utc_s = (int64_t)sl_rd_u64(r);
    m->crl = sl_rd_part32(r);
}

static void msg_authority_certs_write(const struct msg_authority_certs *m, struct sl_wr *w)
{
    wr_list(w, m->cert, m->cert_n);
}
static void msg_authority_certs_read(struct msg_authority_certs *m, struct sl_rd *r)
{
    m->cert_n = rd_list(r, m->cert, SL_ARRAY_LEN(m->cert));
}

static void msg_ctl_request_write(const struct msg_ctl_request *m, struct sl_wr *w)
{
    wr_text(w, m->verb);
    sl_wr_part32(w, m->json);
}
static void msg_ctl_request_read(struct msg_ctl_request *m, struct sl_rd *r)
{
    rd_text(r, m->verb, sizeof(m->verb));
    m->json = sl_rd_part32(r);
}

static void msg_ctl_cancel_write(const struct msg_ctl_cancel *m, struct sl_wr *w)
{
    sl_wr_u64(w, m->id);
}
static void msg_ctl_cancel_read(struct msg_ctl_cancel *m, struct sl_rd *r)
{
    m->id = sl_rd_u64(r);
}

static void msg_ctl_reply_write(const struct msg_ctl_reply *m, struct sl_wr *w)
{
    wr_rc(w, m->rc);
    wr_text(w, m->text);
    sl_wr_part32(w, m->json);
    sl_wr_u8(w, m->more);
}
static void msg_ctl_reply_read(struct msg_ctl_reply *m, struct sl_rd *r)
{
    m->rc = rd_rc(r);
    rd_text(r, m->text, sizeof(m->text));
    m->json = sl_rd_part32(r);
    m->more = rd_bool(r);
}

/* ---- by type ----------------------------------------------------------------------------------- */
const char *msg_name(unsigned type)
{
    switch ((enum msg_type)type) {
#define MSG_NAME(t, number, st, stem) \
    case t:                           \
        return &#t[4];
        MSG_TABLE(MSG_NAME)
#undef MSG_NAME
    }
    return "?";
}

size_t msg_size(unsigned type)
{
    switch ((enum msg_type)type) {
#define MSG_SIZE(t, number, st, stem) \
    case t:                           \
        return sizeof(struct st);
        MSG_TABLE(MSG_SIZE)
#undef MSG_SIZE
    }
    return 0;
}

bool msg_read(enum msg_type type, void *m, struct sl_bytes body)
{
    struct sl_rd r = sl_rd(body);
    memset(m, 0, msg_size(type));
    switch (type) {
#define MSG_READ(t, number, st, stem) \
    case t:                           \
        stem##_read(m, &r);           \
        break;
        MSG_TABLE(MSG_READ)
#undef MSG_READ
    default:
        return false;
    }
    if (sl_rd_done(&r))
        return true;
    if (type == MSG_CHILD_ADD)
        sl_child_clear(m);
    return false;
}

enum sl_rc msg_write(enum msg_type type, const void *m, struct sl_buf *out, struct sl_err *err)
{
    if (!sl_buf_reserve(out, WRITE_RESERVE))
        return SL_FAIL_MEM(err);
    struct sl_wr w = sl_wr_buf(out, CHAN_BODY_MAX);
    switch (type) {
#define MSG_WRITE(t, number, st, stem) \
    case t:                            \
        stem##_write(m, &w);           \
        break;
        MSG_TABLE(MSG_WRITE)
#undef MSG_WRITE
    }
    if (!sl_wr_ok(&w))
        return SL_FAIL(err, SL_TOO_LARGE, "message %s does not fit", msg_name(type));
    return SL_OK;
}
