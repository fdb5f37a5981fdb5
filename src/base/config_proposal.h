/* Proposals of the configuration: "aes128gcm16-prfsha256-curve25519", "aes256-sha256-modp2048". */
#ifndef SRC_BASE_CONFIG_PROPOSAL_H
#define SRC_BASE_CONFIG_PROPOSAL_H

#include "sealane/config.h"

#define CONF_PROPOSALS_MAX 16

/* False with the reason in why: what is unknown and near to what, weak and why, missing or doubled. */
bool conf_ike_proposal(struct sl_conf_ike_proposal *out, const char *text, char *why, size_t cap);
bool conf_esp_proposal(struct sl_conf_esp_proposal *out, const char *text, char *why, size_t cap);

#endif
