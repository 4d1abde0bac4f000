// SPDX-License-Identifier: Apache-2.0
// Draws the stages of a boot.
#include "builder/timeline.h"

enum { WIDTH = 900, LABEL_WIDTH = 150, BAR_WIDTH = 640, ROW = 30, TOP = 44, BAR = 20 };

void timeline_add(struct timeline *timeline, const char *name, int64_t start_ms) {
    if (timeline->count < TIMELINE_MAX_STAGES)
        timeline->stages[timeline->count++] = (struct timeline_stage){name, start_ms};
}

static double position(int64_t ms, int64_t total_ms) {
    return LABEL_WIDTH + (double)ms / (double)total_ms * BAR_WIDTH;
}

static void format_stage(const struct timeline *timeline, unsigned i, int64_t total_ms, struct buf *svg) {
    static const char *const colours[] = {"#7a869a", "#5b8def", "#e0a030", "#b05fd0", "#3aa675"};
    const struct timeline_stage *stage = &timeline->stages[i];
    bool is_last = i + 1 == timeline->count;
    int64_t end_ms = is_last ? stage->start_ms : timeline->stages[i + 1].start_ms;
    double left = position(stage->start_ms, total_ms), right = position(end_ms, total_ms);
    int y = TOP + ROW * (int)i;
    buf_printf(svg, "<text x=\"10\" y=\"%d\">%s</text>\n", y + 15, stage->name);
    buf_printf(svg, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", left, y, right - left < 2 ? 2 : right - left,
               BAR, colours[i % ARRAY_SIZE(colours)]);
    buf_printf(svg, "<text x=\"%.1f\" y=\"%d\">%.2f s</text>\n", right + 6, y + 15,
               (double)(is_last ? stage->start_ms : end_ms - stage->start_ms) / 1000);
}

void timeline_format(const struct timeline *timeline, const char *title, struct buf *svg) {
    int64_t total_ms = timeline->count ? timeline->stages[timeline->count - 1].start_ms : 0;
    int height = TOP + ROW * (int)timeline->count + 10;
    buf_printf(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"13\">\n",
               WIDTH, height);
    buf_printf(svg, "<text x=\"10\" y=\"24\" font-size=\"15\">%s: %.2f s</text>\n", title, (double)total_ms / 1000);
    for (unsigned i = 0; i < timeline->count; i++)
        format_stage(timeline, i, total_ms > 0 ? total_ms : 1, svg);
    buf_add_str(svg, "</svg>\n");
}
