// Package regular understands the regular expressions that clients send, RE2 that matches whole names, and tells what
// they cost before somebody pays for it. What is compiled is bounded; for how long it may be matched is its user's to
// decide, by its breadth.
package regular

import (
	"errors"
	"math"
	"regexp"
	"regexp/syntax"
)

// mostSteps is how large a pattern may be once its repetitions are written out: a few letters can stand for a hundred
// thousand steps, which take tens of megabytes.
const mostSteps = 10_000

// mostLetters is how long a pattern may be: as long as the records of groups can hold.
const mostLetters = math.MaxInt16

var errTooLong = errors.New("it is longer than 32767 bytes")

var errTooLarge = errors.New("it is too large with its repetitions written out")

// Check reports what is wrong with a pattern, without the time and the memory that compiling takes.
func Check(text string) error {
	if len(text) > mostLetters {
		return errTooLong
	}
	parsed, err := syntax.Parse(text, syntax.Perl) // as it stands, so that brackets around it cannot mend it
	if err != nil {
		return err
	}
	if steps(parsed) > max(mostSteps, 2*len(text)) { // what repeats nothing is as large as it is long
		return errTooLarge
	}
	return nil
}

// steps is about how many instructions an expression is compiled to.
func steps(e *syntax.Regexp) int {
	n := 1
	if e.Op == syntax.OpLiteral {
		n += len(e.Rune)
	}
	for _, inner := range e.Sub {
		n += steps(inner)
	}
	if e.Op == syntax.OpRepeat {
		n *= max(e.Min, e.Max, 1)
	}
	return min(n, 1<<20)
}

// breadth is about how many steps of an expression may be tried with one letter. Loose says that its beginning may be
// tried with any letter, and not with one alone; the answer says so of what follows it.
func breadth(e *syntax.Regexp, loose bool) (n int, after bool) {
	switch e.Op {
	case syntax.OpLiteral:
		if loose {
			return len(e.Rune), true
		}
		return 1, false
	case syntax.OpConcat:
		one, many := 0, 0
		for _, inner := range e.Sub {
			was := loose
			n, loose = breadth(inner, loose)
			if was || loose {
				many += n
			} else {
				one = max(one, n)
			}
		}
		return one + many, loose
	case syntax.OpAlternate:
		for _, inner := range e.Sub {
			m, _ := breadth(inner, loose)
			n += m
		}
		return n, true
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
		n, _ = breadth(e.Sub[0], loose || e.Op != syntax.OpQuest)
		return n + 1, true
	case syntax.OpRepeat:
		if n, _ = breadth(e.Sub[0], loose); !loose && n == 1 && letter(e.Sub[0]) {
			return 2, true // at one place only, whatever the count
		}
		n, _ = breadth(e.Sub[0], true)
		return min(n*max(e.Min, e.Max, 1), 1<<20) + 1, true
	case syntax.OpCapture:
		return breadth(e.Sub[0], loose)
	}
	return 1, loose
}

// letter reports whether an expression matches exactly one.
func letter(e *syntax.Regexp) bool {
	switch e.Op {
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true
	}
	return e.Op == syntax.OpLiteral && len(e.Rune) == 1
}

// Compile understands an expression as Kafka does, and tells about how many of its steps may be tried with one letter
// of a name: each takes ten to sixty nanoseconds.
func Compile(text string) (e *regexp.Regexp, cost int, err error) {
	if err := Check(text); err != nil {
		return nil, 0, err
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, 0, err
	}
	cost, _ = breadth(parsed, false)
	e, err = regexp.Compile("^(?:" + text + ")$")
	if err != nil { // text ends in a quotation, which went on. To write parsed out would take seconds for some classes
		e, err = regexp.Compile("^(?:" + text + `\E)$`)
	}
	return e, cost, err
}
