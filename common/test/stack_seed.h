// SPDX-License-Identifier: Apache-2.0
// Stacks for tests: one that uses every member, small ones made of a name and some JSON, and sets of them.
#pragma once
#include "common/stack.h"
#include "common/test/support.h"

#define STACK_SEED_ETCD                                                                                                                    \
    "{\"format\": 1, \"name\": \"etcd\", \"summary\": \"key-value store\", \"enable\": \"ETCD_ENABLED\", \"package\": \"etcd-server\","    \
    " \"start_timeout\": 90, \"keys\": ["                                                                                                  \
    "{\"name\": \"ETCD_NAME\", \"type\": \"name\", \"required\": true, \"pattern\": \"[a-z]+[0-9]*\", \"help\": \"Name of this "           \
    "member.\"},"                                                                                                                          \
    "{\"name\": \"ETCD_CLIENT_PORT\", \"type\": \"integer\", \"default\": \"2379\", \"min\": 1, \"max\": 65535, \"at_least\": "            \
    "\"2*SSH_PORT + HEALTH_TIMEOUT\", \"help\": \"A port.\"},"                                                                             \
    "{\"name\": \"ETCD_PEERS\", \"type\": \"peer-list\", \"required_when\": \"HOSTNAME\", \"help\": \"All members.\"},"                    \
    "{\"name\": \"ETCD_METRICS\", \"type\": \"word\", \"default\": \"basic\", \"choices\": [\"none\", \"basic\"], \"help\": \"How "        \
    "much.\"},"                                                                                                                            \
    "{\"name\": \"ETCD_CA_FILE\", \"type\": \"secret-file\", \"help\": \"A certificate.\"},"                                               \
    "{\"name\": \"ETCD_CACHE\", \"type\": \"size\", \"default\": \"64M\", \"min\": 1048576, \"max\": 8589934592, \"help\": \"A size.\"}]," \
    " \"requires\": [\"HOSTNAME or ETCD_PEERS\"], \"conflicts\": [\"OTHER_ENABLED\"], \"persist\": [\"/etc/etcd\"],"                       \
    " \"files\": [{\"template\": \"etcd.env\", \"path\": \"/etc/default/etcd\", \"owner\": \"root:etcd\", \"mode\": \"0640\","             \
    " \"format\": \"env\", \"when\": \"ETCD_PEERS\"}],"                                                                                    \
    " \"ports\": [{\"port\": \"ETCD_CLIENT_PORT\", \"protocol\": \"tcp\", \"from\": \"ETCD_PEERS\"},"                                      \
    "{\"port\": \"7000-7010\", \"protocol\": \"udp\", \"from\": \"local\", \"when\": \"ETCD_PEERS\"}],"                                    \
    " \"units\": [{\"unit\": \"etcd.service\"}, {\"unit\": \"etcd-snapshot.timer\", \"on_change\": \"keep\", \"when\": \"ETCD_PEERS\"}],"  \
    " \"data\": [{\"path\": \"/var/lib/etcd\", \"owner\": \"etcd:etcd\", \"mode\": \"0700\"}],"                                            \
    " \"sysctls\": [{\"name\": \"vm.overcommit_memory\", \"value\": -2}],"                                                                 \
    " \"health\": [{\"name\": \"member\", \"kind\": \"unit\", \"unit\": \"etcd.service\"},"                                                \
    "{\"name\": \"client\", \"kind\": \"tcp\", \"address\": \"127.0.0.1:{{word ETCD_CLIENT_PORT}}\", \"timeout\": 5},"                     \
    "{\"name\": \"api\", \"kind\": \"http\", \"url\": \"http://127.0.0.1:2381/health\", \"expect\": 204},"                                 \
    "{\"name\": \"quorum\", \"kind\": \"command\", \"command\": [\"/usr/bin/etcdctl\", \"endpoint\", \"health\"], \"user\": \"etcd\","     \
    " \"when\": \"ETCD_PEERS\"}],"                                                                                                         \
    " \"hooks\": [{\"event\": \"before-reboot\", \"command\": [\"/usr/lib/webops/etcd/leave\"], \"user\": \"etcd\", \"timeout\": 30,"      \
    " \"required\": true, \"when\": \"ETCD_PEERS\"}]}"

static inline void stack_seed(const char *json, struct stack *ret_stack) {
    struct err err = {0};
    if (stack_parse(json, strlen(json), "seed", ret_stack, &err) < 0)
        fail_msg("%s", err.text);
}
