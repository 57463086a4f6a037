package setting

import (
	"fmt"
	"slices"
	"strings"
)

// Kind says what is the matter with a line.
type Kind int8

// The kinds of problem. Only Wrong and Unsafe keep a program from starting.
const (
	Unknown  Kind = iota // no setting has that name
	Twice                // the name is given again further down
	NoEffect             // known, and ignored
	Wrong                // the value is not one that the setting takes
	Unsafe               // known, and refused because ignoring it would be unsafe
)

// Problem is something to say about one line of a file.
type Problem struct {
	Kind  Kind
	Where Position
	Key   string
	Value string // never that of a password
	Why   string
}

// Fatal reports whether the program must not start with it.
func (p Problem) Fatal() bool { return p.Kind >= Wrong }

func (p Problem) Error() string {
	place := p.Where.File
	if p.Where.Line > 0 {
		place = fmt.Sprintf("%s:%d", place, p.Where.Line)
	}
	if place != "" {
		place += ": "
	}
	if p.Kind == Wrong || p.Kind == Unsafe {
		return fmt.Sprintf("%s%s=%s: %s", place, p.Key, p.Value, p.Why)
	}
	return fmt.Sprintf("%s%s: %s", place, p.Key, p.Why)
}

// Problems judges every text of a static layer, in the order of its lines.
func (s *Set) Problems(layer Layer) []Problem {
	var all []Problem
	for name, text := range layer.Texts {
		if p, found := s.problem(name, text); found {
			p.Where = layer.Where[name]
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b Problem) int {
		if a.Where.File != b.Where.File {
			return strings.Compare(a.Where.File, b.Where.File)
		}
		if a.Where.Line != b.Where.Line {
			return a.Where.Line - b.Where.Line
		}
		return strings.Compare(a.Key, b.Key)
	})
	return all
}

// problem judges one text.
func (s *Set) problem(name, text string) (Problem, bool) {
	d := s.broker[name]
	if d == nil {
		return s.stranger(name)
	}
	parsed, wrong := d.parse(strings.TrimSpace(text))
	switch {
	case wrong != (fault{}):
		invalid := d.invalid(name, text, wrong)
		why := wrong.why
		if d.Allowed != "" {
			why += " (allowed: " + d.Allowed + ")"
		}
		return Problem{Kind: Wrong, Key: name, Value: invalid.Value, Why: why}, true
	case d.Effect == Honoured || parsed.text == d.Default:
		return Problem{}, false
	case d.Effect == Refused:
		return Problem{Kind: Unsafe, Key: name, Value: d.invalid(name, text, wrong).Value, Why: d.Note}, true
	default:
		return Problem{Kind: NoEffect, Key: name, Why: d.Note}, true
	}
}

// stranger explains a name that no setting has.
func (s *Set) stranger(name string) (Problem, bool) {
	if f, ok := s.family(name); ok && f.Reads(name) {
		return Problem{}, false
	} else if ok {
		return Problem{Kind: NoEffect, Key: name, Why: f.Note}, true
	}
	why := "unknown setting, ignored"
	if d := s.topic[name]; d != nil && d.Name != "" {
		why += "; this is what a topic calls it: the broker's default is " + d.Name
	} else if d != nil {
		why += "; only a topic can have it"
	} else if near := s.Nearest(name); near != "" {
		why += "; did you mean " + near + "?"
	}
	return Problem{Kind: Unknown, Key: name, Why: why}, true
}

// Nearest is the known name that is fewest edits away from name, or "" when none
// is near enough to be a slip of the keyboard.
func (s *Set) Nearest(name string) string {
	best, least := "", 3+len(name)/8
	var e edits
	for _, d := range s.all {
		if d.Name == "" || d.Internal {
			continue
		}
		if n := e.distance(name, d.Name, least); n < least {
			best, least = d.Name, n
		}
	}
	return best
}

// edits are the rows that distances are counted in, kept from one name to the next.
type edits struct{ before, last, row []int }

// distance counts the insertions, deletions, substitutions and swaps of neighbours that turn a
// into b. From limit on, which is at least 1, it does not count on: the answer is then limit. So
// only cells less than limit from the diagonal count; beside them and in place of greater ones
// stands limit.
func (e *edits) distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	for len(e.row) <= len(b)+1 {
		e.before, e.last, e.row = append(e.before, 0), append(e.last, 0), append(e.row, 0)
	}
	for j := range min(len(b), limit) + 1 {
		e.last[j] = j
	}
	lastLeast := 0
	for i := 1; i <= len(a); i++ {
		least := e.next(a, b, i, limit)
		if least >= limit && lastLeast >= limit { // a swap reaches back over two rows
			return limit
		}
		lastLeast = least
		e.before, e.last, e.row = e.last, e.row, e.before
	}
	return e.last[len(b)]
}

// next fills the row of the first i letters of a, and answers its least cell.
func (e *edits) next(a, b string, i, limit int) (least int) {
	from, to := max(1, i-limit+1), min(len(b), i+limit-1)
	before, last, row, letter := e.before, e.last, e.row, a[i-1]
	row[from-1] = limit
	if from == 1 {
		row[0] = min(i, limit)
	}
	least = row[from-1]
	left := least
	for j := from; j <= to; j++ {
		n := last[j-1]
		if letter != b[j-1] {
			n = min(n, last[j], left) + 1
			if i > 1 && j > 1 && letter == b[j-2] && a[i-2] == b[j-1] {
				n = min(n, before[j-2]+1)
			}
		}
		left = min(n, limit)
		row[j] = left
		least = min(least, left)
	}
	row[to+1] = limit
	return least
}

// ReadStatic makes the static layer of a program: the lines of a file (text may be
// empty) with the overrides of the command line ("key=value") on top.
func ReadStatic(file, text string, overrides []string) (Layer, []Problem, error) {
	layer := Layer{Source: SourceStatic, Texts: map[string]string{}, Where: map[string]Position{}}
	lines, err := ParseProperties(text)
	if err != nil {
		return layer, nil, fmt.Errorf("%s: %w", file, err)
	}
	var problems []Problem
	for _, p := range lines {
		if first, again := layer.Where[p.Key]; again {
			problems = append(problems, Problem{Kind: Twice, Where: first, Key: p.Key,
				Why: fmt.Sprintf("given again in line %d, which counts", p.Line)})
		}
		layer.Texts[p.Key], layer.Where[p.Key] = p.Value, Position{File: file, Line: p.Line}
	}
	for _, o := range overrides {
		key, value, ok := strings.Cut(o, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return layer, nil, fmt.Errorf("--override %s: not of the form key=value", o)
		}
		layer.Texts[key], layer.Where[key] = value, Position{File: "--override"}
	}
	return layer, problems, nil
}
