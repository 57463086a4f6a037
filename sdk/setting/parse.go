package setting

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parser takes trimmed text and answers the value or what is wrong with it.
type parser func(text string) (slot, fault)

// fault is what is wrong with a text, in the words of Kafka's ConfigDef. The zero
// fault is none.
type fault struct {
	why  string
	part string // the part of the text that is wrong; empty: all of it
}

// limits bounds a whole number.
type limits struct {
	kind     Type
	min, max int64
	or       int64 // one more value allowed; 0: none
	greatest int64 // of the type
}

func (l limits) parse(text string) (slot, fault) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n > l.greatest || n < -l.greatest-1 {
		return slot{}, fault{why: "Not a number of type " + l.kind.String()}
	}
	s := slot{n: n, text: strconv.FormatInt(n, 10)}
	switch {
	case n >= l.min && n <= l.max || l.or != 0 && n == l.or:
		return s, fault{}
	case l.or != 0:
		return slot{}, fault{why: fmt.Sprintf("Value must be between %d and %d or equal to %d", l.min, l.max, l.or)}
	case n < l.min:
		return slot{}, fault{why: fmt.Sprintf("Value must be at least %d", l.min)}
	default:
		return slot{}, fault{why: fmt.Sprintf("Value must be no more than %d", l.max)}
	}
}

// String is the limits in words.
func (l limits) String() string {
	least, most := l.min > -l.greatest-1, l.max < l.greatest
	text := ""
	switch {
	case least && most:
		text = fmt.Sprintf("%d to %d", l.min, l.max)
	case least:
		text = fmt.Sprintf("at least %d", l.min)
	case most:
		text = fmt.Sprintf("at most %d", l.max)
	}
	if l.or != 0 {
		text += fmt.Sprintf(", or %d", l.or)
	}
	return text
}

// nanoseconds converts n units. A negative n means "no limit" and becomes -1; a
// product that does not fit becomes Forever.
func nanoseconds(n, unit int64) int64 {
	switch {
	case n < 0:
		return -1
	case n > math.MaxInt64/unit:
		return int64(Forever)
	default:
		return n * unit
	}
}

func parseDouble(text string, least, most float64) (slot, fault) {
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || math.IsNaN(n) || math.IsInf(n, 0):
		return slot{}, fault{why: "Not a number of type DOUBLE"}
	case n < least:
		return slot{}, fault{why: "Value must be at least " + strconv.FormatFloat(least, 'g', -1, 64)}
	case n > most:
		return slot{}, fault{why: "Value must be no more than " + strconv.FormatFloat(most, 'g', -1, 64)}
	default:
		return slot{n: int64(math.Float64bits(n)), text: formatDouble(n)}, fault{}
	}
}

// formatDouble writes a number as Java does: 1.0, 0.5, 1.7976931348623157E308.
func formatDouble(n float64) string {
	if size := math.Abs(n); size != 0 && (size < 1e-3 || size >= 1e7) {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(n, 'E', -1, 64), "E")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		power, _ := strconv.Atoi(exponent)
		return mantissa + "E" + strconv.Itoa(power)
	}
	text := strconv.FormatFloat(n, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

func parseBool(text string) (slot, fault) {
	switch {
	case strings.EqualFold(text, "true"):
		return slot{n: 1, text: "true"}, fault{}
	case strings.EqualFold(text, "false"):
		return slot{n: 0, text: "false"}, fault{}
	default:
		return slot{}, fault{why: "Expected value to be either true or false"}
	}
}

// choice parses a text that must be one of choices, when there are any.
func choice(choices []string, ignoreCase bool, absent Absent) parser {
	return func(text string) (slot, fault) {
		is := func(c string) bool { return c == text || ignoreCase && strings.EqualFold(c, text) }
		switch {
		case len(choices) == 0 || slices.ContainsFunc(choices, is):
			return slot{text: text}, fault{}
		case slices.ContainsFunc(absent.Choices, is):
			return slot{}, fault{why: absent.Why}
		case ignoreCase:
			return slot{}, fault{why: "String must be one of (case insensitive): " + strings.Join(choices, ", ")}
		default:
			return slot{}, fault{why: "String must be one of: " + strings.Join(choices, ", ")}
		}
	}
}

// words parses a list: each word one of choices, when there are any, and the whole as check says.
func words(choices []string, check func([]string) string) parser {
	one := choice(choices, false, Absent{})
	return func(text string) (slot, fault) {
		if text == "" {
			return slot{}, fault{}
		}
		list := strings.Split(text, ",")
		for i, word := range list {
			list[i] = strings.TrimSpace(word)
			if _, wrong := one(list[i]); wrong != (fault{}) {
				return slot{}, fault{why: wrong.why, part: list[i]}
			}
		}
		if check != nil {
			if why := check(list); why != "" {
				return slot{}, fault{why: why, part: "[" + strings.Join(list, ", ") + "]"}
			}
		}
		return slot{list: list, text: strings.Join(list, ",")}, fault{}
	}
}

func either(choices []string) string {
	if len(choices) == 0 {
		return ""
	}
	return "one of " + strings.Join(choices, ", ")
}

// InUnit writes a time as the number that a setting in that unit holds: the
// inverse of Duration.Of.
func InUnit(t, unit time.Duration) string {
	switch {
	case t < 0:
		return "-1"
	case t == Forever:
		return strconv.FormatInt(math.MaxInt64, 10)
	default:
		return strconv.FormatInt(int64(t/unit), 10)
	}
}
