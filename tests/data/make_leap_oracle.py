"""Makes leap_oracle.csv: TAI for every UTC second within a minute of each leap second.

An oracle that shares nothing with the crate: ERFA, the library of the IAU's
SOFA routines, through pyerfa, with the leap seconds ERFA has built in.

    pip install pyerfa==2.0.1.5
    python tests/data/make_leap_oracle.py > tests/data/leap_oracle.csv

A line is a UTC label and the seconds of TAI since 1970-01-01T00:00:00 TAI.
ERFA's Julian dates are pairs of floats; the label is converted to TAI, and the
TAI date taken apart into a calendar date and time again, rounded to microseconds:
whole seconds come out whole, or this script stops.
"""

import calendar
import datetime
import sys

import erfa


def tai_seconds(year, month, day, hour, minute, second):
    utc1, utc2 = erfa.dtf2d("UTC", year, month, day, hour, minute, float(second))
    tai1, tai2 = erfa.utctai(utc1, utc2)
    y, m, d, hmsf = erfa.d2dtf("TAI", 6, tai1, tai2)
    h, mi, s, fraction = (int(hmsf[name]) for name in ("h", "m", "s", "f"))
    assert fraction == 0, (year, month, day, hour, minute, second, fraction)
    return calendar.timegm((int(y), int(m), int(d), h, mi, s))


def main():
    table = erfa.leap_seconds.get()
    changes = [(int(e["year"]), int(e["month"]), float(e["tai_utc"])) for e in table]
    changes = [c for c in changes if c[0] >= 1972]
    assert changes[0] == (1972, 1, 10.0)
    print("# utc,tai_seconds")
    print(f"# ERFA {erfa.version.erfa_version}, pyerfa {erfa.__version__}; see make_leap_oracle.py")
    for year, month, _ in changes[1:]:
        midnight = datetime.datetime(year, month, 1)
        day = midnight - datetime.timedelta(days=1)
        labels = [(day, 23, 59, s) for s in range(61)]
        labels += [(midnight, 0, 0, s) for s in range(60)] + [(midnight, 0, 1, 0)]
        for date, h, mi, s in labels:
            tai = tai_seconds(date.year, date.month, date.day, h, mi, s)
            print(f"{date:%Y-%m-%d}T{h:02}:{mi:02}:{s:02}Z,{tai}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
