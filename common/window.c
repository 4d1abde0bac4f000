// SPDX-License-Identifier: Apache-2.0
// Parses and asks a maintenance window. Which time it is, and in which zone, is the caller's business.
#include "common/window.h"
#include <string.h>

#define MINUTES_PER_DAY (24 * 60)
#define ALL_DAYS 0x7f

static bool parse_two_digits(const char **cursor, int *ret_number) {
    const char *c = *cursor;
    if (c[0] < '0' || c[0] > '9' || c[1] < '0' || c[1] > '9')
        return false;
    *ret_number = (c[0] - '0') * 10 + (c[1] - '0');
    *cursor += 2;
    return true;
}

static bool take(const char **cursor, char wanted) {
    if (**cursor != wanted)
        return false;
    ++*cursor;
    return true;
}

static bool parse_time(const char **cursor, int *ret_minute) {
    int hour, minute;
    if (!parse_two_digits(cursor, &hour) || !take(cursor, ':') || !parse_two_digits(cursor, &minute))
        return false;
    *ret_minute = hour * 60 + minute;
    return minute < 60 && *ret_minute <= MINUTES_PER_DAY;
}

static bool parse_day(const char **cursor, unsigned *ret_day) {
    static const char names[] = "SunMonTueWedThuFriSat";
    for (unsigned day = 0; day < 7; day++)
        if (strncmp(*cursor, names + 3 * (size_t)day, 3) == 0) {
            *cursor += 3;
            *ret_day = day;
            return true;
        }
    return false;
}

// "Sun", "Mon-Fri", "Sat,Sun", "Fri-Mon,Wed".
static bool parse_days(const char **cursor, unsigned *ret_days) {
    unsigned days = 0;
    do {
        unsigned first, last;
        if (!parse_day(cursor, &first))
            return false;
        last = first;
        if (take(cursor, '-') && !parse_day(cursor, &last))
            return false;
        for (unsigned day = first;; day = (day + 1) % 7) {
            days |= 1u << day;
            if (day == last)
                break;
        }
    } while (take(cursor, ','));
    *ret_days = days;
    return true;
}

bool window_parse(const char *text, struct window *ret_window) {
    struct window window = {.days = ALL_DAYS};
    if ((*text < '0' || *text > '9') && (!parse_days(&text, &window.days) || !take(&text, ' ')))
        return false;
    if (!parse_time(&text, &window.start_minute) || !take(&text, '-') || !parse_time(&text, &window.end_minute) || *text)
        return false;
    if (window.start_minute == MINUTES_PER_DAY || window.start_minute == window.end_minute || window.end_minute == 0)
        return false;
    *ret_window = window;
    return true;
}

bool window_is_open(const struct window *window, int weekday, int minute) {
    bool opens_today = window->days & 1u << weekday, opened_yesterday = window->days & 1u << (weekday + 6) % 7;
    if (window->start_minute < window->end_minute)
        return opens_today && minute >= window->start_minute && minute < window->end_minute;
    return (opens_today && minute >= window->start_minute) || (opened_yesterday && minute < window->end_minute);
}
