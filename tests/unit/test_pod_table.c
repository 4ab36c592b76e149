/* SPDX-License-Identifier: Apache-2.0 */
#include "pod_machines.h"

/* A letter for each state, in the order of enum pod_state. */
static const char letters[] = "WIPCDSRHTKEBF";

/*
 * What follows for every pair, written down once more, a row for each state and a column for each
 * event: the letter of the next state, '.' for what is ignored, '!' for what cannot happen.
 */
static const char *const expected[POD_STATES] = {
    /*  image, config, run  hooks, probes     asked, machine's own */
    "..."
    ".."
    "....."
    "........"
    ".."
    "I!!F"
    "!!!", /* WAITING */
    "ICP"
    ".."
    "....."
    "........"
    ".."
    "!!!F"
    "!!!", /* RESOLVING */
    "..."
    ".."
    "....."
    "........"
    "WW"
    "!W!F"
    "!!!", /* PULL_BACKOFF */
    "..."
    "SD"
    "....."
    "........"
    ".."
    "!!!F"
    "!!!", /* PREPARING */
    "..."
    ".."
    "....."
    "........"
    "WW"
    "!W!F"
    "!!!", /* CONFIG_BACKOFF */
    "..."
    ".."
    "REEEE"
    "........"
    ".."
    "!!KS"
    "!!!", /* STARTING */
    "..."
    ".."
    "R.EEE"
    "RHRHHRR."
    "H."
    "!!!H"
    "!!!", /* RUNNING */
    "..."
    ".."
    "H.EEE"
    ".......T"
    ".."
    "!!TH"
    "!!!", /* PRE_STOPPING */
    "..."
    ".."
    "T.EEE"
    "........"
    ".."
    "!!KT"
    "!!!", /* TOLD */
    "..."
    ".."
    "KEEEE"
    "........"
    ".."
    "!!!K"
    "!!!", /* INTERRUPTED */
    "!!!"
    "!!"
    "!!!!!"
    "!!!!!!!!"
    "!!"
    "!!!!"
    "WBF", /* ENDED */
    "..."
    ".."
    "....."
    "........"
    "WW"
    "!W!F"
    "!!!", /* CRASH_BACKOFF */
    "..."
    ".."
    "....."
    "........"
    ".."
    "!!!!"
    "!!!", /* FINISHED */
};

static char letter_of(const struct pod_cell *cell)
{
    if (cell->act == POD_ACT_IGNORE)
        return '.';
    return cell->act == POD_ACT_BUG ? '!' : letters[cell->next];
}

static void every_pair_of_state_and_event_is_as_written_down(void **state)
{
    (void)state;
    for (enum pod_state s = 0; s < POD_STATES; s++) {
        assert_int_equal(strlen(expected[s]), POD_EVENTS);
        for (enum pod_event ev = 0; ev < POD_EVENTS; ev++) {
            const struct pod_cell *cell = pod_cell(s, ev);

            if (letter_of(cell) != expected[s][ev])
                fail_msg("state '%s', event %d: '%c' instead of '%c'", pod_state_name(s), ev,
                         letter_of(cell), expected[s][ev]);
            /* What is ignored leaves everything as it was. */
            if (cell->act == POD_ACT_IGNORE || cell->act == POD_ACT_BUG)
                assert_int_equal(cell->next, s);
        }
    }
}

/* Brings the only container of a pod into a state by events alone. */
static void reach(struct rig *r, enum pod_state wanted)
{
    struct pod_spec *s = rig_spec(POD_RESTART_ALWAYS);
    struct pod_container *c;

    rig_add(s, POD_ROLE_SIDECAR, "side");
    c = rig_add(s, POD_ROLE_MAIN, "app");
    c->pre_stop = arena_alloc(s->arena, sizeof(*c->pre_stop));
    rig_open(r, s);
    rig_set_up(r);
    if (wanted == POD_STATE_WAITING)
        return;
    rig_run(r, 0);
    if (wanted == POD_STATE_RESOLVING)
        return;
    if (wanted == POD_STATE_PULL_BACKOFF) {
        rig_event(r, 1, POD_EVENT_IMAGE_FAILED);
        return;
    }
    rig_event(r, 1, POD_EVENT_IMAGE_OK);
    if (wanted == POD_STATE_PREPARING)
        return;
    rig_event(r, 1,
              wanted == POD_STATE_CONFIG_BACKOFF ? POD_EVENT_CONFIG_FAILED : POD_EVENT_CONFIG_OK);
    if (wanted == POD_STATE_CONFIG_BACKOFF || wanted == POD_STATE_STARTING)
        return;
    rig_event(r, 1, wanted == POD_STATE_CRASH_BACKOFF ? POD_EVENT_REFUSED : POD_EVENT_STARTED);
    if (wanted == POD_STATE_RUNNING || wanted == POD_STATE_CRASH_BACKOFF)
        return;
    rig_event(r, 1, POD_EVENT_LIVENESS_FAILED);
    if (wanted == POD_STATE_PRE_STOPPING)
        return;
    rig_event(r, 1, POD_EVENT_PRE_STOP_DONE);
    if (wanted == POD_STATE_TOLD)
        return;
    rig_timer(r, 31 * SECOND);
    if (wanted == POD_STATE_INTERRUPTED)
        return;
    rig_delete(r, -1);
    rig_exit(r, 1, 1);
}

static void every_state_takes_every_event_that_can_come_from_outside(void **state)
{
    (void)state;
    for (enum pod_state s = 0; s < POD_STATES; s++)
        for (enum pod_event ev = 0; s != POD_STATE_ENDED && ev < POD_EVENT_TURN; ev++) {
            struct rig r;
            char now, next = expected[s][ev];

            reach(&r, s);
            assert_state(&r, 1, s);
            rig_event(&r, 1, ev);
            now = letters[pod_machine_state(r.m, 1)];
            /* What waits for its turn gets it at once; ends are judged. */
            if (next == 'W')
                next = 'I';
            if (next == 'E' ? !strchr("IBF", now) : next == '.' ? now != letters[s] : now != next)
                fail_msg("in state '%s' event %d leads to '%c'", pod_state_name(s), ev, now);
            rig_done(&r);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_state_and_event_is_as_written_down),
        cmocka_unit_test(every_state_takes_every_event_that_can_come_from_outside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
