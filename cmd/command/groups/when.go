package groups

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var dateTime = regexp.MustCompile(`^(\d+)-(\d+)-(\d+)T(\d+):(\d+):(\d+)(?:\.(\d+))?(Z|[+-]\d{2}(?::?\d{2})?)?$`)

// parseDateTime reads 2026-01-31T08:30:00.000, with Z or +01:00 or in UTC. As in
// Kafka the digits behind the point count milliseconds.
func parseDateTime(text string) (time.Time, error) {
	m := dateTime.FindStringSubmatch(text)
	if m == nil {
		return time.Time{}, fmt.Errorf("Unparseable date: %q (expected 'YYYY-MM-DDThh:mm:ss.sss')", text)
	}
	var n [7]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1]) // digits only; an absent fraction is 0
	}
	zone := time.UTC
	if z := strings.ReplaceAll(m[8], ":", ""); len(z) > 1 {
		hours, _ := strconv.Atoi(z[1:3])
		minutes, _ := strconv.Atoi(z[3:])
		seconds := hours*3600 + minutes*60
		if z[0] == '-' {
			seconds = -seconds
		}
		zone = time.FixedZone(z, seconds)
	}
	t := time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], n[6]*int(time.Millisecond), zone)
	if n[6] > 999 || t.Day() != n[2] || int(t.Month()) != n[1] || t.Hour() != n[3] || t.Minute() != n[4] || t.Second() != n[5] {
		return time.Time{}, fmt.Errorf("Unparseable date: %q (no such day or time)", text)
	}
	return t, nil
}

var isoDuration = regexp.MustCompile(`(?i)^([+-]?)P(?:([+-]?\d+)D)?(?:T(?:([+-]?\d+)H)?(?:([+-]?\d+)M)?(?:([+-]?\d+)(?:[.,](\d{0,9}))?S)?)?$`)

// parseDuration reads PnDTnHnMnS as Java does, signs and fractions included.
func parseDuration(text string) (time.Duration, error) {
	m := isoDuration.FindStringSubmatch(text)
	if m == nil || m[2]+m[3]+m[4]+m[5] == "" || strings.HasSuffix(strings.ToUpper(text), "T") {
		return 0, fmt.Errorf("Text cannot be parsed to a Duration: %q (expected 'PnDTnHnMnS')", text)
	}
	var sum time.Duration
	for i, unit := range []time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second} {
		n, _ := strconv.ParseInt(m[i+2], 10, 64)
		sum += time.Duration(n) * unit
	}
	nanos, _ := strconv.ParseInt((m[6] + "000000000")[:9], 10, 64)
	if strings.HasPrefix(m[5], "-") {
		nanos = -nanos
	}
	sum += time.Duration(nanos)
	if m[1] == "-" {
		sum = -sum
	}
	return sum, nil
}
