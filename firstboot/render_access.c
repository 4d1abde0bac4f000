// SPDX-License-Identifier: Apache-2.0
// Who may log in and how: sshd, the operator's account and keys, sudo. Pure.
#include "common/schema_types.h"
#include "firstboot/accounts.h"
#include "firstboot/render.h"
#include <string.h>

// sshd_config(5): the first value wins, and Debian's sshd_config includes its .d directory first.
// KexAlgorithms: what the release offers, in its order, but for these; of a list, an older sshd refuses a name that it does not know, and does not start.
static const char sshd_rules[] = "HostKey /var/lib/webops/ssh/ssh_host_ed25519_key\n"
                                 "HostKey /var/lib/webops/ssh/ssh_host_ecdsa_key\n"
                                 "AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u\n"
                                 "AuthenticationMethods publickey\n"
                                 "PubkeyAuthentication yes\n"
                                 "PasswordAuthentication no\n"
                                 "KbdInteractiveAuthentication no\n"
                                 "PermitEmptyPasswords no\n"
                                 "PermitRootLogin no\n"
                                 "MaxAuthTries 2\n"
                                 "LoginGraceTime 30\n"
                                 "MaxStartups 10:30:60\n"
                                 "ClientAliveInterval 300\n"
                                 "ClientAliveCountMax 2\n"
                                 "X11Forwarding no\n"
                                 "AllowAgentForwarding no\n"
                                 "PermitTunnel no\n"
                                 "PermitUserEnvironment no\n"
                                 "PermitUserRC no\n"
                                 "UseDNS no\n"
                                 "LogLevel VERBOSE\n"
                                 "KexAlgorithms -diffie-hellman-*,ecdh-sha2-*\n"
                                 "Ciphers chacha20-poly1305@openssh.com,aes256-gcm@openssh.com,aes128-gcm@openssh.com\n"
                                 "MACs hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com\n"
                                 "HostKeyAlgorithms ssh-ed25519,ecdsa-sha2-nistp256\n";

// What distributions have in their own sshd_config, in whose place ours is then. Challenges were an option of their own before OpenSSH 8.7.
static const char sshd_rest[] = "UsePAM yes\n"
                                "ChallengeResponseAuthentication no\n"
                                "Subsystem sftp internal-sftp\n";

void render_ssh(const struct render *in) {
    cleanup_buf struct buf file = {0};
    const bool is_whole = in->facts->sshd_includes_nothing;
    const char *name = render_text(in, "OPERATOR_USER");
    buf_printf(&file, "# Rendered by webops from config.env.\nPort %ld\nAllowUsers ", (long)render_integer(in, "SSH_PORT"));
    render_word(in, &file, "OPERATOR_USER", name, strlen(name));
    buf_printf(&file, "\n%s%s", sshd_rules, is_whole ? sshd_rest : "");
    render_file(in, is_whole ? "etc/ssh/sshd_config" : "etc/ssh/sshd_config.d/10-webops.conf", 0644, &file);
}

// authorized_keys: a line is an entry; a control character would end or hide it.
static void add_key(const struct render *in, struct buf *buf, const char *key, const char *line, size_t size) {
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f) {
            render_problem(in, key, "holds a control character");
            return;
        }
    buf_add(buf, line, size);
    buf_add_str(buf, "\n");
}

static void add_keys(const struct render *in, struct buf *buf, const char *key, const char *text, const char *separators) {
    const char *item;
    size_t size;
    for (const char *cursor = text; (item = schema_next_item(&cursor, separators, &size));)
        if (item[0] != '#')
            add_key(in, buf, key, item, size);
}

static void render_keys(const struct render *in, const char *user) {
    cleanup_buf struct buf keys = {0};
    add_keys(in, &keys, "SSH_AUTHORIZED_KEYS", render_text(in, "SSH_AUTHORIZED_KEYS"), ";");
    if (in->facts->authorized_keys && render_is_set(in, "SSH_AUTHORIZED_KEYS_FILE"))
        add_keys(in, &keys, "SSH_AUTHORIZED_KEYS_FILE", in->facts->authorized_keys, "\n");
    cleanup_free char *path = str_printf("etc/ssh/authorized_keys.d/%s", user);
    render_file(in, path, 0644, &keys);
}

typedef void account_fn(const char *text, const struct account *account, struct buf *ret_text);

// NULL when there is none, or its key was dropped.
static const char *password_hash(const struct render *in) {
    return render_is_set(in, "OPERATOR_PASSWORD_FILE") ? in->facts->password_hash : NULL;
}

static void render_account(const struct render *in, const char *path, mode_t mode, gid_t gid, const char *text, account_fn *edit,
                           const struct account *account) {
    cleanup_buf struct buf file = {0};
    edit(text, account, &file);
    render_file(in, path, mode, &file);
    in->plan->entries[in->plan->count - 1].gid = gid;
}

// As the image has them: 0640 root:shadow in Debian and Ubuntu, for programs that read in the name of that group; 0000 root:root in
// Enterprise Linux, which has no such group, and may have its number for another one.
static void render_shadows(const struct render *in, const struct account *account) {
    unsigned gid = 0;
    const mode_t mode = accounts_find_group(in->facts->group, "shadow", &gid) ? 0640 : 0;
    render_account(in, "etc/shadow", mode, gid, in->facts->shadow, accounts_shadow, account);
    render_account(in, "etc/gshadow", mode, gid, in->facts->gshadow, accounts_gshadow, account);
}

void render_user(const struct render *in) {
    cleanup_buf struct buf name = {0}, hash = {0};
    const char *user = render_text(in, "OPERATOR_USER");
    render_word(in, &name, "OPERATOR_USER", user, strlen(user));
    const struct facts *facts = in->facts;
    struct account account = {.name = buf_str(&name), .uid = OPERATOR_UID, .gid = OPERATOR_GID};
    if (strchr(account.name, '/') || strchr(account.name, ':') || accounts_is_taken(facts->passwd, facts->group, &account)) {
        render_problem(in, "OPERATOR_USER", "is the name of a user or group that the image itself has");
        return;
    }
    if (password_hash(in)) {
        size_t size = strcspn(password_hash(in), "\n");
        if (memchr(password_hash(in), ':', size)) {
            render_problem(in, "OPERATOR_PASSWORD_FILE", "holds a ':'");
            return;
        }
        buf_add(&hash, password_hash(in), size);
        account.password_hash = buf_str(&hash);
    }
    render_account(in, "etc/passwd", 0644, 0, facts->passwd, accounts_passwd, &account);
    render_account(in, "etc/group", 0644, 0, facts->group, accounts_group, &account);
    render_shadows(in, &account);
    render_keys(in, account.name);
    cleanup_free char *home = str_printf("home/%s", account.name);
    struct plan_entry *entry = render_entry(in, PLAN_DIRECTORY, home, 0700);
    entry->uid = OPERATOR_UID;
    entry->gid = OPERATOR_GID;
    if (hash.data)
        explicit_bzero(hash.data, hash.size);
}

void render_sudo(const struct render *in) {
    if (!render_bool(in, "OPERATOR_SUDO"))
        return;
    cleanup_buf struct buf file = {0};
    const char *name = render_text(in, "OPERATOR_USER");
    buf_add_str(&file, "# Rendered by webops from config.env.\n");
    render_word(in, &file, "OPERATOR_USER", name, strlen(name));
    buf_printf(&file, " ALL=(ALL:ALL) %sALL\n", password_hash(in) ? "" : "NOPASSWD: ");
    render_file(in, "etc/sudoers.d/90-webops", 0440, &file);
}
