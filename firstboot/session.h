// SPDX-License-Identifier: Apache-2.0
// One run over the base, as the verbs apply, install and uninstall make it: find the configuration, render everything (stacks, too), write
// what differs, report. Starts and stops no unit of a stack; firstboot/stack/ does.
#pragma once
#include "firstboot/apply.h"
#include "firstboot/discover.h"
#include "firstboot/facts.h"
#include "firstboot/stack/inputs.h"

// Everything one run knows. The caller sets the first group.
struct session {
    struct apply apply; // root_fd is closed by session_done()
    bool is_live; // the root is the running system's
    bool is_early, is_late, is_manual;
    struct stack_assume assume;
    // Called between planning and writing; a failure refuses the run: nothing is written. NULL = none.
    int (*before_write)(struct session *session, void *context, struct err *err);
    void *context;

    struct stack_set set; // of the image
    const struct schema *schema; // with the keys of its stacks
    struct config record;
    struct discovered found;
    struct facts_store facts;
    struct plan plan;
    struct config_problems problems; // of values that only this machine can judge
    struct buf errors; // one line each
    bool is_planned; // the plan was made and, unless this is a dry run, carried out
};
void session_done(struct session *session);
// Opens the root and sets the first group. `stage` is "early", "late" or "manual", else -EINVAL.
int session_open(const char *root, const char *stage, struct session *ret_session, struct err *err) must_check nonnull(1, 2, 3, 4);
// Holds a lock of its own while it runs. Returns an exit code; negative when nothing could be done. On a dry run what would change is in
// session->apply.
int session_run(struct session *session, struct err *err) must_check nonnull(1, 2);
// What a dry run found: one line per file that would change, and every port that would be open for a stack.
void session_print(const struct session *session) nonnull(1);

#define cleanup_session cleanup(session_done)
