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
	for _, d := range s.all {
		if d.Name == "" || d.Internal {
			continue
		}
		if n := distance(name, d.Name, least); n < least {
			best, least = d.Name, n
		}
	}
	return best
}

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours that turn a into b. From limit on it does not count on: the answer
// is then limit.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
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
