// Package java writes values as Java's own classes do, for output that must look
// like that of a tool written in Java: numbers with toString, bytes as Kafka's
// Bytes class prints them, dates by the patterns of SimpleDateFormat.
package java

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Double is a float64 as Double.toString has it: 1048576.0, 1.0E10, NaN.
func Double(f float64) string { return float(f, 64) }

// Float is a float32 as Float.toString has it.
func Float(f float32) string { return float(float64(f), 32) }

func float(f float64, bits int) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 0):
		return strings.Replace(strconv.FormatFloat(f, 'f', -1, bits), "Inf", "Infinity", 1)[btoi(f > 0):]
	}
	if a := math.Abs(f); a == 0 || a >= 1e-3 && a < 1e7 {
		return withPoint(strconv.FormatFloat(f, 'f', -1, bits))
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, bits), "e")
	n, _ := strconv.Atoi(exponent) // FormatFloat wrote it
	return withPoint(mantissa) + "E" + strconv.Itoa(n)
}

// btoi skips the plus sign that Go writes before infinity.
func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func withPoint(text string) string {
	if strings.Contains(text, ".") {
		return text
	}
	return text + ".0"
}

// Bytes are bytes as org.apache.kafka.common.utils.Bytes prints them: those that
// are not printable ASCII, and the backslash, as \xNN.
func Bytes(p []byte) string {
	var out strings.Builder
	for _, c := range p {
		if c >= ' ' && c <= '~' && c != '\\' {
			out.WriteByte(c)
		} else {
			fmt.Fprintf(&out, `\x%02X`, c)
		}
	}
	return out.String()
}

// Date formats t by a pattern of SimpleDateFormat: yyyy-MM-dd HH:mm:ss:SSS. Text
// in single quotes is taken as it is.
func Date(pattern string, t time.Time) (string, error) {
	var out strings.Builder
	for i := 0; i < len(pattern); {
		c := pattern[i]
		if c == '\'' {
			text, n, err := quoted(pattern[i:])
			if err != nil {
				return "", err
			}
			out.WriteString(text)
			i += n
			continue
		}
		n := 1
		for i+n < len(pattern) && pattern[i+n] == c {
			n++
		}
		field, err := dateField(c, n, t)
		if err != nil {
			return "", fmt.Errorf("date format %q: %w", pattern, err)
		}
		out.WriteString(field)
		i += n
	}
	return out.String(), nil
}

// quoted is the text that begins pattern, and the length it has there. Two quotes
// stand for one, inside of others too.
func quoted(pattern string) (string, int, error) {
	if strings.HasPrefix(pattern, "''") {
		return "'", 2, nil
	}
	var out strings.Builder
	for i := 1; i < len(pattern); i++ {
		if pattern[i] != '\'' {
			out.WriteByte(pattern[i])
			continue
		}
		if !strings.HasPrefix(pattern[i:], "''") {
			return out.String(), i + 1, nil
		}
		out.WriteByte('\'')
		i++
	}
	return "", 0, fmt.Errorf("date format %q: a quote is not closed", pattern)
}

// dateField is n times the pattern letter c.
func dateField(c byte, n int, t time.Time) (string, error) {
	number := func(v int) string { return fmt.Sprintf("%0*d", n, v) }
	switch c {
	case 'y', 'u':
		if n == 2 {
			return t.Format("06"), nil
		}
		return number(t.Year()), nil
	case 'M', 'L':
		if n == 3 {
			return t.Format("Jan"), nil
		} else if n > 3 {
			return t.Format("January"), nil
		}
		return number(int(t.Month())), nil
	case 'E':
		if n > 3 {
			return t.Format("Monday"), nil
		}
		return t.Format("Mon"), nil
	case 'a':
		return t.Format("PM"), nil
	case 'z':
		return t.Format("MST"), nil
	case 'Z':
		return t.Format("-0700"), nil
	case 'X':
		return t.Format([]string{"Z07", "Z0700", "Z07:00"}[min(n, 3)-1]), nil
	}
	if value, ok := dateNumbers[c]; ok {
		return number(value(t)), nil
	}
	if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
		return "", fmt.Errorf("pattern letter %q is not known", c)
	}
	return strings.Repeat(string(c), n), nil
}

// dateNumbers are the letters that stand for a number.
var dateNumbers = map[byte]func(time.Time) int{
	'd': time.Time.Day,
	'D': time.Time.YearDay,
	'H': time.Time.Hour,
	'k': func(t time.Time) int { return (t.Hour()+23)%24 + 1 },
	'K': func(t time.Time) int { return t.Hour() % 12 },
	'h': func(t time.Time) int { return (t.Hour()+11)%12 + 1 },
	'm': time.Time.Minute,
	's': time.Time.Second,
	'S': func(t time.Time) int { return t.Nanosecond() / int(time.Millisecond) },
}
