/* SPDX-License-Identifier: Apache-2.0
 * The two clocks, and RFC 3339 text. Days are counted by arithmetic on the proleptic Gregorian
 * calendar (years that begin in March, so that a leap day is a year's last), not by libc, whose
 * functions read the environment's time zone. */
#include "base/clock.h"

#include <stdatomic.h>
#include <time.h>

#define US_PER_S INT64_C(1000000)
#define US_PER_DAY (86400 * US_PER_S)
#define YEAR_0_US (INT64_C(-719528) * US_PER_DAY)
#define YEAR_10000_US (INT64_C(2932897) * US_PER_DAY)

struct date {
	int64_t year;
	unsigned month;
	unsigned day;
};

static _Atomic int64_t ahead_us;

static int64_t read_clock_us(clockid_t id);
static struct date date_from_days(int64_t days);
static int64_t days_from_date(struct date date);
static unsigned days_in_month(int64_t year, unsigned month);
static bool take_number(struct str *text, size_t digits, unsigned max, unsigned *value);
static bool take_char(struct str *text, char c);
static bool take_date(struct str *text, int64_t *days);
static bool take_time(struct str *text, int64_t *us);
static bool take_decimals(struct str *text, int64_t *us);
static bool take_offset(struct str *text, int64_t *us);
static void put_number(char *at, size_t digits, int64_t value);

int64_t clock_monotonic_us(void)
{
	return read_clock_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
	return read_clock_us(CLOCK_REALTIME);
}

void clock_advance_us(int64_t by_us)
{
	atomic_fetch_add_explicit(&ahead_us, by_us, memory_order_relaxed);
}

struct str time_format(int64_t wall_us, char out[TIME_TEXT_MAX])
{
	const int64_t us = wall_us < YEAR_0_US        ? YEAR_0_US
	                   : wall_us >= YEAR_10000_US ? YEAR_10000_US - 1
	                                              : wall_us;
	const int64_t in_day = (us % US_PER_DAY + US_PER_DAY) % US_PER_DAY;
	const struct date date = date_from_days((us - in_day) / US_PER_DAY);

	memcpy(out, "0000-00-00T00:00:00.000Z", TIME_TEXT_MAX);
	put_number(out, 4, date.year);
	put_number(out + 5, 2, date.month);
	put_number(out + 8, 2, date.day);
	put_number(out + 11, 2, in_day / (3600 * US_PER_S));
	put_number(out + 14, 2, in_day / (60 * US_PER_S) % 60);
	put_number(out + 17, 2, in_day / US_PER_S % 60);
	put_number(out + 20, 3, in_day / 1000 % 1000);
	return str_of(out, TIME_TEXT_MAX - 1);
}

bool time_parse(struct str text, int64_t *wall_us)
{
	int64_t days, time_us, decimals_us, offset_us, us;

	if (!take_date(&text, &days) || (!take_char(&text, 'T') && !take_char(&text, 't')) ||
		!take_time(&text, &time_us) || !take_decimals(&text, &decimals_us) ||
		!take_offset(&text, &offset_us) || text.len > 0)
		return false;
	us = days * US_PER_DAY + time_us + decimals_us - offset_us;
	if (us < YEAR_0_US || us >= YEAR_10000_US)
		return false;
	*wall_us = us;
	return true;
}

static int64_t read_clock_us(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * US_PER_S + now.tv_nsec / 1000 +
	       atomic_load_explicit(&ahead_us, memory_order_relaxed);
}

/* An era is 400 years, 146,097 days; 719,468 days lie between 0000-03-01 and 1970-01-01. */
static struct date date_from_days(int64_t days)
{
	const int64_t z = days + 719468;
	const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	const int64_t day_of_era = z - era * 146097;
	const int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	const int64_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	const int64_t march_month = (5 * day_of_year + 2) / 153;
	const unsigned month = (unsigned)(march_month < 10 ? march_month + 3 : march_month - 9);

	return (struct date){
		.year = year_of_era + era * 400 + (month <= 2),
		.month = month,
		.day = (unsigned)(day_of_year - (153 * march_month + 2) / 5 + 1),
	};
}

static int64_t days_from_date(struct date date)
{
	const int64_t year = date.year - (date.month <= 2);
	const int64_t era = (year >= 0 ? year : year - 399) / 400;
	const int64_t year_of_era = year - era * 400;
	const int64_t march_month = date.month > 2 ? date.month - 3 : date.month + 9;
	const int64_t day_of_year = (153 * march_month + 2) / 5 + date.day - 1;

	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - 719468;
}

static unsigned days_in_month(int64_t year, unsigned month)
{
	static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_number(struct str *text, size_t digits, unsigned max, unsigned *value)
{
	unsigned n = 0;

	if (text->len < digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		const unsigned digit = (unsigned)(text->at[i] - '0');

		if (digit > 9)
			return false;
		n = n * 10 + digit;
	}
	*text = str_skip(*text, digits);
	*value = n;
	return n <= max;
}

static bool take_char(struct str *text, char c)
{
	if (text->len == 0 || *text->at != c)
		return false;
	*text = str_skip(*text, 1);
	return true;
}

static bool take_date(struct str *text, int64_t *days)
{
	unsigned year, month, day;

	if (!take_number(text, 4, 9999, &year) || !take_char(text, '-') ||
		!take_number(text, 2, 12, &month) || !take_char(text, '-') ||
		!take_number(text, 2, 31, &day) || month == 0 || day == 0 ||
		day > days_in_month(year, month))
		return false;
	*days = days_from_date((struct date){year, month, day});
	return true;
}

/* Second 60, a leap second, counts as the next minute's first: POSIX time has none. */
static bool take_time(struct str *text, int64_t *us)
{
	unsigned hour, minute, second;

	if (!take_number(text, 2, 23, &hour) || !take_char(text, ':') ||
		!take_number(text, 2, 59, &minute) || !take_char(text, ':') ||
		!take_number(text, 2, 60, &second))
		return false;
	*us = ((int64_t)hour * 3600 + minute * 60 + second) * US_PER_S;
	return true;
}

static bool take_decimals(struct str *text, int64_t *us)
{
	int64_t unit = US_PER_S / 10;
	unsigned digit;
	size_t count = 0;

	*us = 0;
	if (!take_char(text, '.'))
		return true;
	for (; count < 9 && take_number(text, 1, 9, &digit); count++, unit /= 10)
		*us += digit * unit;
	return count > 0;
}

static bool take_offset(struct str *text, int64_t *us)
{
	unsigned hours, minutes;
	int64_t sign = 1;

	*us = 0;
	if (take_char(text, 'Z') || take_char(text, 'z'))
		return true;
	if (take_char(text, '-'))
		sign = -1;
	else if (!take_char(text, '+'))
		return false;
	if (!take_number(text, 2, 23, &hours) || !take_char(text, ':') ||
		!take_number(text, 2, 59, &minutes))
		return false;
	*us = sign * ((int64_t)hours * 3600 + minutes * 60) * US_PER_S;
	return true;
}

static void put_number(char *at, size_t digits, int64_t value)
{
	while (digits-- > 0) {
		at[digits] = (char)('0' + value % 10);
		value /= 10;
	}
}
