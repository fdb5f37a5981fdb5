/* Revocation by CRLs in the decision: points, deltas, indirect lists, and what is kept of them; paths. */
#include "revocation_world.h"

/* ---- CRLs ---------------------------------------------------------------------------------------------- */
START_TEST(uris_of_a_point_are_alternatives)
{
    setup();
    struct test_cert c = leaf(with_points(&(struct point){ .uri = { CRL1, CRL2 } }, 1));
    struct sl_decision_ask a = ask_for(&c);
    struct server *first = serve(CRL1, DEAD, (struct sl_bytes){ 0 }),
                  *second = serve(CRL2, SERVES, good_crl());
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(first->asked, 1);
    ck_assert_uint_eq(second->asked, 1);
    /* the first one that answers is enough */
    finish();
    boot();
    first->mood = SERVES;
    first->body = good_crl();
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(second->asked, 1);
    finish();
}
END_TEST

START_TEST(points_add_up_until_all_reasons_are_covered)
{
    setup();
    const struct point points[] = { { .uri = { CRL1 }, .reason = 1 },
                                    { .uri = { CRL2 }, .reason = 1, .others = true } };
    struct test_cert c = leaf(with_points(points, 2));
    struct sl_decision_ask a = ask_for(&c);
    static const char some[] = "[idp]\nfullname=URI:" CRL1 "\nonlysomereasons=keyCompromise\n",
                      rest[] = "[idp]\nfullname=URI:" CRL2
                               "\nonlysomereasons=CACompromise,affiliationChanged,superseded,"
                               "cessationOfOperation,certificateHold,privilegeWithdrawn,"
                               "AACompromise\n";
    serve(CRL1, SERVES, crl(&(struct der_crl){ .idp = some }));
    struct server *second = serve(CRL2, DEAD, (struct sl_bytes){ 0 });
    expect(&a, SL_REVOCATION_UNAVAILABLE, CRL2);
    pass(3000);
    serve(CRL2, SERVES, crl(&(struct der_crl){ .idp = rest }));
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(second->asked, 2);
    /* and either may revoke */
    static const struct der_entry e = { .serial = LEAF_HEX, .reason = 4 };
    pass(3600 * 1000);
    serve(CRL2, SERVES,
          crl(&(struct der_crl){ .number = 6, .idp = rest, .entry = &e, .entry_n = 1 }));
    sl_decider_refresh(w.d, w.now);
    answer();
    expect(&a, SL_REVOKED, "superseded");
    finish();
}
END_TEST

START_TEST(delta_is_fetched_and_combined)
{
    setup();
    struct test_cert c = leaf(SAN CDP);
    struct sl_decision_ask a = ask_for(&c);
    static const struct der_entry e = { .serial = LEAF_HEX, .reason = 1 };
    serve(CRL1, SERVES, crl(&(struct der_crl){ .number = 5, .freshest = DELTA }));
    struct server *delta = serve(DELTA, DEAD, (struct sl_bytes){ 0 });
    expect(&a, SL_OK, ""); /* the complete list counts alone */
    ck_assert_uint_eq(delta->asked, 1);
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(delta->asked, 1); /* failed, and not asked again so soon */
    pass(3000);
    serve(DELTA, SERVES,
          crl(&(struct der_crl){ .number = 6, .base = 5, .entry = &e, .entry_n = 1 }));
    SL_AUTO(sl_decision) *x = decide(&a);
    ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_REVOKED);
    ck_assert_ptr_nonnull(strstr(sl_decision_verdict(x)->text, "with delta " DELTA));
    ck_assert_uint_eq(server_of(CRL1)->asked, 1);
    /* it outlives a restart with every server dead */
    struct sl_buf saved = { 0 };
    ck_ok(sl_decider_save(w.d, &saved, &err), &err);
    finish();
    boot();
    ck_ok(sl_decider_load(w.d, sl_buf_bytes(&saved), w.now, &err), &err);
    serve(CRL1, DEAD, (struct sl_bytes){ 0 });
    serve(DELTA, DEAD, (struct sl_bytes){ 0 });
    expect(&a, SL_REVOKED, "with delta");
    ck_assert_uint_eq(server_of(CRL1)->asked, 1);
    sl_buf_clear(&saved);
    finish();
}
END_TEST

START_TEST(indirect_crl_needs_its_issuers_certificate_and_path)
{
    setup();
    struct test_cert issuer = test_cert(
        &(struct test_spec){ .subject = "CN=Lists", .by = &w.ca, .ext = "keyUsage=cRLSign\n" });
    struct test_cert fake = test_cert(
        &(struct test_spec){ .subject = "CN=Lists", .by = &w.ca2, .ext = "keyUsage=cRLSign\n" });
    struct test_cert c =
        leaf(with_points(&(struct point){ .uri = { CRL1 }, .issuer = &issuer }, 1));
    struct sl_decision_ask a = ask_for(&c);
    static const struct der_entry good[] = { { .serial = "01", .issuer = "CN=Lab CA" } },
                                  bad[] = { { .serial = LEAF_HEX, .issuer = "CN=Lab CA" } };
    serve(CRL1, SERVES,
          crl(&(struct der_crl){ .by = &issuer, .idp = INDIRECT, .entry = good, .entry_n = 1 }));
    expect(&a, SL_REVOCATION_INVALID, "CN=Lists");
    /* another's certificate of that name, to another anchor */
    a.cert[1] = fake.der;
    a.cert_n = 2;
    expect(&a, SL_REVOCATION_INVALID, "CN=Lists");
    a.cert[1] = issuer.der;
    expect(&a, SL_OK, ""); /* the list is there; it only lacked its signer */
    ck_assert_uint_eq(server_of(CRL1)->asked, 1);
    /* after a restart with the server dead the signer is known too */
    struct sl_buf saved = { 0 };
    ck_ok(sl_decider_save(w.d, &saved, &err), &err);
    finish();
    boot();
    ck_ok(sl_decider_load(w.d, sl_buf_bytes(&saved), w.now, &err), &err);
    sl_buf_clear(&saved);
    serve(CRL1, DEAD, (struct sl_bytes){ 0 });
    a.cert_n = 1;
    expect(&a, SL_OK, "");
    pass(3000);
    serve(CRL1, SERVES,
          crl(&(struct der_crl){
              .by = &issuer, .number = 2, .idp = INDIRECT, .entry = bad, .entry_n = 1 }));
    sl_decider_refresh(w.d, w.now);
    answer();
    ck_assert(sl_decider_changed(w.d));
    expect(&a, SL_REVOKED, "CRL " CRL1);
    finish();
}
END_TEST

START_TEST(crl_issuer_falls_under_the_algorithms_of_its_trust_section)
{
    static char sha384[] = "ecdsa-sha384";
    char *names[] = { sha384 };
    static const struct der_entry good[] = { { .serial = "01", .issuer = "CN=Lab CA" } };
    for (int allowed = 0; allowed < 2; allowed++) {
        setup();
        w.trust[0].signature = (struct sl_conf_strings){ .v = names, .n = 1 };
        struct test_cert issuer = test_cert(&(struct test_spec){ .subject = "CN=Lists",
                                                                 .by = &w.ca,
                                                                 .md = allowed ? "SHA384" : NULL,
                                                                 .ext = "keyUsage=cRLSign\n" });
        const char *ext = with_points(&(struct point){ .uri = { CRL1 }, .issuer = &issuer }, 1);
        struct test_cert c = test_cert(
            &(struct test_spec){ .subject = "CN=gw-a", .by = &w.ca, .md = "SHA384", .ext = ext });
        struct sl_decision_ask a = ask_for(&c);
        a.cert[1] = issuer.der;
        a.cert_n = 2;
        serve(
            CRL1, SERVES,
            crl(&(struct der_crl){ .by = &issuer, .idp = INDIRECT, .entry = good, .entry_n = 1 }));
        expect(&a, allowed ? SL_OK : SL_REVOCATION_INVALID,
               allowed ? "" : "signed with ecdsa-sha256, trust.signature allows ecdsa-sha384");
        finish();
    }
}
END_TEST

START_TEST(crl_issuer_that_is_revoked_does_not_count)
{
    setup();
    struct test_cert issuer = test_cert(&(struct test_spec){
        .subject = "CN=Lists", .by = &w.ca, .serial = 99, .ext = "keyUsage=cRLSign\n" });
    struct test_cert c =
        leaf(with_points(&(struct point){ .uri = { CRL1 }, .issuer = &issuer }, 1));
    struct sl_decision_ask a = ask_for(&c);
    static const struct der_entry gone[] = { { .serial = "63", .reason = 1 } };
    a.cert[1] = issuer.der;
    a.cert_n = 2;
    serve(CRL1, SERVES, crl(&(struct der_crl){ .by = &issuer, .idp = INDIRECT }));
    /* of certificates for this point's purpose only, so that it does not speak about the leaf */
    ck_ok(sl_decider_crl(w.d, "lab",
                         crl(&(struct der_crl){ .entry = gone,
                                                .entry_n = 1,
                                                .idp = "[idp]\nonlysomereasons=keyCompromise\n" }),
                         "ca.crl", &err),
          &err);
    expect(&a, SL_REVOCATION_INVALID, "revoked");
    finish();
}
END_TEST

START_TEST(two_issuers_that_name_one_uri_cause_one_fetch)
{
    setup();
    struct test_cert sub =
        test_cert(&(struct test_spec){ .subject = "CN=Sub", .by = &w.ca, .ca = true, .ext = CDP });
    struct test_cert c =
        test_cert(&(struct test_spec){ .subject = "CN=gw-a", .by = &sub, .ext = SAN CDP });
    struct sl_decision_ask a = ask_for(&c);
    a.cert[1] = sub.der;
    a.cert_n = 2;
    ck_ok(sl_decider_crl(w.d, "lab", crl(&(struct der_crl){ .by = &sub }), "sub.crl", &err), &err);
    serve(CRL1, SERVES, good_crl());
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(server_of(CRL1)->asked, 1);
    finish();
}
END_TEST

START_TEST(list_that_is_served_elsewhere_does_not_replace_what_is_known)
{
    setup();
    struct test_cert c = leaf(SAN CDP);
    struct sl_decision_ask a = ask_for(&c);
    serve(CRL1, SERVES, good_crl());
    expect(&a, SL_OK, "");
    serve(CRL1, SERVES, crl(&(struct der_crl){ .by = &w.ca2, .number = 50 }));
    sl_decider_refresh(w.d, w.now);
    answer();
    ck_assert_uint_eq(server_of(CRL1)->asked, 2);
    expect(&a, SL_OK, "");
    finish();
}
END_TEST

START_TEST(list_that_is_gone_from_the_directory_counts_no_more)
{
    setup();
    struct test_cert c = leaf(SAN);
    struct sl_decision_ask a = ask_for(&c);
    ck_ok(sl_decider_crl(w.d, "lab", good_crl(), "a.crl", &err), &err);
    expect(&a, SL_OK, "");
    (void)sl_decider_changed(w.d);
    sl_decider_crl_gone(w.d, "lab", "b.crl");
    ck_assert(!sl_decider_changed(w.d));
    sl_decider_crl_gone(w.d, "lab", "a.crl");
    ck_assert(sl_decider_changed(w.d));
    expect(&a, SL_REVOCATION_NONE, "");
    finish();
}
END_TEST

START_TEST(unchanged_list_is_not_sent_again)
{
    setup();
    struct test_cert c = leaf(SAN CDP);
    struct sl_decision_ask a = ask_for(&c);
    struct server *s = serve(CRL1, SERVES, good_crl());
    s->etag = "\"v1\"";
    expect(&a, SL_OK, "");
    (void)sl_decider_changed(w.d);
    sl_decider_refresh(w.d, w.now);
    (void)sl_decider_changed(w.d);
    answer();
    ck_assert_uint_eq(s->unchanged, 1);
    ck_assert(!sl_decider_changed(w.d));
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 2);
    s->body = revoking(6);
    s->etag = "\"v2\"";
    sl_decider_refresh(w.d, w.now);
    answer();
    expect(&a, SL_REVOKED, "");
    ck_assert_uint_eq(s->unchanged, 1);
    finish();
}
END_TEST

START_TEST(large_list_is_saved_in_a_file_of_its_own)
{
    setup();
    struct test_cert c = leaf(SAN CDP);
    struct sl_decision_ask a = ask_for(&c);
    struct sl_buf raw = { 0 }, apart = { 0 }, small = { 0 };
    char name[SL_CACHE_NAME];
    for (unsigned i = 0; i < 3000; i++) {
        char serial[16];
        snprintf(serial, sizeof(serial), "01%06x", i);
        der_put_entry(&raw, &(struct der_entry){ .serial = serial });
    }
    serve(CRL1, SERVES, crl(&(struct der_crl){ .raw = sl_buf_bytes(&raw) }));
    expect(&a, SL_OK, "");
    ck_ok(sl_decider_save(w.d, &small, &err), &err);
    ck_assert_uint_lt(small.len, 1000);
    ck_assert(sl_decider_save_next(w.d, name, &apart));
    ck_assert_uint_gt(apart.len, 65536);
    ck_assert_uint_eq(strlen(name), 36);
    small.len = 0;
    ck_assert(!sl_decider_save_next(w.d, name, &small)); /* not again, as it has not changed */
    finish();
    boot();
    ck_ok(sl_decider_load(w.d, sl_buf_bytes(&apart), w.now, &err), &err);
    serve(CRL1, DEAD, (struct sl_bytes){ 0 });
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(server_of(CRL1)->asked, 1);
    ck_assert(!sl_decider_save_next(w.d, name, &small));
    sl_buf_clear(&raw);
    sl_buf_clear(&apart);
    sl_buf_clear(&small);
    finish();
}
END_TEST

/* ---- paths ------------------------------------------------------------------------------------------------ */
START_TEST(another_path_is_tried_when_revocation_refuses_the_first)
{
    setup();
    ck_ok(sl_decider_anchors(w.d, "lab", w.ca2.der, "ca2.pem", &err), &err);
    struct test_cert one = test_cert(&(struct test_spec){
        .subject = "CN=Sub", .by = &w.ca, .serial = 41, .ca = true, .ext = CDP });
    struct test_cert two =
        test_cert(&(struct test_spec){ .subject = "CN=Sub",
                                       .by = &w.ca2,
                                       .serial = 42,
                                       .same_key = &one,
                                       .ca = true,
                                       .ext = "crlDistributionPoints=URI:" CRL2 "\n" });
    struct test_cert c =
        test_cert(&(struct test_spec){ .subject = "CN=gw-a", .by = &one, .ext = SAN });
    ck_ok(sl_decider_crl(w.d, "lab", crl(&(struct der_crl){ .by = &one }), "sub.crl", &err), &err);
    struct sl_decision_ask a = ask_for(&c);
    a.cert[1] = one.der;
    a.cert[2] = two.der;
    a.cert_n = 3;
    static const struct der_entry e1 = { .serial = "29", .reason = 2 },
                                  e2 = { .serial = "2a", .reason = 2 };
    serve(CRL1, SERVES, crl(&(struct der_crl){ .entry = &e1, .entry_n = 1 }));
    serve(CRL2, SERVES, crl(&(struct der_crl){ .by = &w.ca2 }));
    struct sl_decision *x = decide(&a);
    ck_assert_msg(sl_decision_verdict(x)->rc == SL_OK, "%s", sl_decision_verdict(x)->text);
    const json_t *path = json_object_get(sl_decision_evidence(x), "path");
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(path, 2), "subject")),
                     "CN=Other CA");
    sl_decision_free(x);
    /* and with both revoked the first one is told, and both are in the story */
    serve(CRL2, SERVES,
          crl(&(struct der_crl){ .by = &w.ca2, .number = 2, .entry = &e2, .entry_n = 1 }));
    sl_decider_refresh(w.d, w.now);
    answer();
    x = decide(&a);
    ck_assert_int_eq(sl_decision_verdict(x)->rc, SL_REVOKED);
    const json_t *cand = json_object_get(sl_decision_evidence(x), "candidates");
    unsigned revoked = 0;
    for (size_t i = 0; i < json_array_size(cand); i++)
        revoked += !strcmp(json_string_value(json_object_get(json_array_get(cand, i), "reason")),
                           "REVOKED");
    ck_assert_uint_eq(revoked, 2);
    SL_AUTO_BUF story = { 0 };
    ck_assert(sl_decision_story(&story, sl_decision_evidence(x)) && sl_buf_nul(&story));
    ck_assert_ptr_nonnull(strstr((const char *)story.p, "candidate    CN=gw-a"));
    ck_assert_ptr_nonnull(strstr((const char *)story.p, "(serial 2a) < CN=Other CA"));
    ck_assert_str_eq(sl_decision_verdict(x)->subject, "CN=gw-a");
    sl_decision_free(x);
    finish();
}
END_TEST

static struct test_cert sub_ca(void)
{
    return test_cert(
        &(struct test_spec){ .subject = "CN=Sub", .by = &w.ca, .ca = true, .ext = CDP });
}

START_TEST(missing_issuer_is_fetched_when_allowed_and_once)
{
    setup();
    struct test_cert sub = sub_ca();
    struct test_cert c =
        test_cert(&(struct test_spec){ .subject = "CN=gw-a",
                                       .by = &sub,
                                       .ext = SAN "authorityInfoAccess=caIssuers;URI:" CERT "\n" });
    struct sl_decision_ask a = ask_for(&c);
    ck_ok(sl_decider_crl(w.d, "lab", crl(&(struct der_crl){ .by = &sub }), "sub.crl", &err), &err);
    serve(CRL1, SERVES, good_crl());
    struct server *s = serve(CERT, SERVES, sub.der);
    expect(&a, SL_CERT_UNKNOWN_CA, "");
    ck_assert_uint_eq(s->asked, 0); /* off by default */
    w.trust[0].aia = true;
    for (unsigned i = 0; i < 20; i++)
        ck_ok(sl_decider_start(w.d, &a, w.now, NULL, NULL, &err), &err);
    answer();
    for (unsigned i = 0; i < 20; i++) {
        SL_AUTO(sl_decision) *x = sl_decider_finished(w.d);
        ck_assert_ptr_nonnull(x);
        ck_assert_msg(sl_decision_verdict(x)->rc == SL_OK, "%s", sl_decision_verdict(x)->text);
    }
    ck_assert_uint_eq(s->asked, 1);
    finish();
    boot();
    s->mood = SILENT;
    int64_t began = w.now.mono_ns;
    expect(&a, SL_CERT_UNKNOWN_CA, "");
    ck_assert_int_le(w.now.mono_ns - began, 2100 * SL_NS_PER_MS);
    finish();
}
END_TEST

START_TEST(configured_uri_of_certificates_is_fetched_when_an_issuer_is_missing)
{
    setup();
    static char uri[] = CERT, *uris[] = { uri };
    w.trust[0].intermediate_uris = (struct sl_conf_strings){ .v = uris, .n = 1 };
    struct test_cert sub = sub_ca();
    struct test_cert c =
        test_cert(&(struct test_spec){ .subject = "CN=gw-a", .by = &sub, .ext = SAN });
    struct sl_decision_ask a = ask_for(&c);
    ck_ok(sl_decider_crl(w.d, "lab", crl(&(struct der_crl){ .by = &sub }), "sub.crl", &err), &err);
    serve(CRL1, SERVES, good_crl());
    struct server *s = serve(CERT, SERVES, test_pem(&sub));
    expect(&a, SL_OK, "");
    expect(&a, SL_OK, "");
    ck_assert_uint_eq(s->asked, 1);
    pass(3700 * 1000);
    answer();
    ck_assert_uint_eq(s->asked, 2); /* kept up to date */
    finish();
}
END_TEST

SL_TESTS(revocation, SL_CASE(uris_of_a_point_are_alternatives),
         SL_CASE(points_add_up_until_all_reasons_are_covered),
         SL_CASE(delta_is_fetched_and_combined),
         SL_CASE(indirect_crl_needs_its_issuers_certificate_and_path),
         SL_CASE(crl_issuer_falls_under_the_algorithms_of_its_trust_section),
         SL_CASE(crl_issuer_that_is_revoked_does_not_count),
         SL_CASE(two_issuers_that_name_one_uri_cause_one_fetch),
         SL_CASE(list_that_is_served_elsewhere_does_not_replace_what_is_known),
         SL_CASE(list_that_is_gone_from_the_directory_counts_no_more),
         SL_CASE(unchanged_list_is_not_sent_again),
         SL_CASE(large_list_is_saved_in_a_file_of_its_own),
         SL_CASE(another_path_is_tried_when_revocation_refuses_the_first),
         SL_CASE(missing_issuer_is_fetched_when_allowed_and_once),
         SL_CASE(configured_uri_of_certificates_is_fetched_when_an_issuer_is_missing))
