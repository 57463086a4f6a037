// Package answers holds a broker's answers to raw requests against those of Apache Kafka. A case asks a few questions, at
// versions that it chooses, and what is answered is written down as text without what differs from run to run. What Kafka
// said is recorded in testdata, a file for each set of cases:
//
//	COMPAT_RECORD=$PWD/answers/testdata go run . -target kafka -client answers -check answers-topics
//
// Against Millrace every case must come out the same. Where it deliberately does not, the case says why in Differs; then
// what Millrace says is recorded as well (-target millrace), beside Kafka's, and is held to that.
package answers

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/report"
)

// A Set is cases that are asked of one fresh broker, one after the other. It is one check of the driver.
type Set struct {
	Name     string   // the check is "answers-" and this
	Settings []string // of the broker, besides those that all have
	Cases    []Case
}

// A Case is a conversation with a name. What it leaves behind, later cases of its set find.
type Case struct {
	Name    string
	Differs string // why Millrace deliberately answers otherwise; empty: it does not
	Mask    []string
	// Words has the texts of error messages compared; without it only whether there is one.
	Words bool
	Ask   func(t *Talk)
}

// sets in the order in which they are run.
var sets = []Set{topics, configs, cluster, security, records, transactions, groups}

//go:embed testdata
var recorded embed.FS

// settings are those of all sets: they keep ACLs, and everybody may do everything.
var settings = []string{
	"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "allow.everyone.if.no.acl.found=true",
}

// setLimit is how long a set may take, the start of its broker included.
const setLimit = 3 * time.Minute

// Checks are the names of the checks, one for each set.
func Checks() (names []string) {
	for _, s := range sets {
		names = append(names, "answers-"+s.Name)
	}
	return names
}

// Run runs every set that was asked for on a broker of its own, of the kind that COMPAT_TARGET says.
func Run(s *report.Suite) error {
	s.Timeout = setLimit
	for _, set := range sets {
		s.Check("answers-"+set.Name, set.check)
	}
	return nil
}

// check asks everything, and records it or compares it with what was recorded.
func (s Set) check(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "answers-")
	if err != nil {
		return fmt.Errorf("make a folder for a broker: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder that stays harms nobody
	b, err := broker.Own(dir, slices.Concat(settings, s.Settings)...)
	if err != nil {
		return err
	}
	if err := b.Start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop(), b.Sound()) }()
	said := make([]string, len(s.Cases))
	for i, c := range s.Cases {
		said[i] = c.run(ctx, b.Address)
	}
	kafka := os.Getenv("COMPAT_TARGET") == "kafka"
	if folder := os.Getenv("COMPAT_RECORD"); folder != "" {
		return s.record(folder, kafka, said)
	}
	return s.compare(kafka, said)
}

// file is where the answers of a set are recorded.
func (s Set) file(kafka bool) string {
	if kafka {
		return s.Name + ".txt"
	}
	return s.Name + ".millrace.txt"
}

// record writes what Kafka said, or what Millrace said where it deliberately differs.
func (s Set) record(folder string, kafka bool, said []string) error {
	var b strings.Builder
	for i, c := range s.Cases {
		if kafka || c.Differs != "" {
			fmt.Fprintf(&b, "=== %s\n", c.Name)
			if c.Differs != "" {
				fmt.Fprintf(&b, "# Millrace differs: %s\n", c.Differs)
			}
			b.WriteString(said[i] + "\n")
		}
	}
	path := filepath.Join(folder, s.file(kafka))
	if b.Len() == 0 {
		return os.RemoveAll(path)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// compare tells of every case that did not come out as recorded.
func (s Set) compare(kafka bool, said []string) error {
	theirs, err := s.load(true)
	if err != nil {
		return err
	}
	ours, err := s.load(false)
	if err != nil {
		return err
	}
	var failures []error
	for i, c := range s.Cases {
		if err := c.judge(kafka, said[i], theirs[c.Name], ours[c.Name]); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", c.Name, err))
		}
	}
	if len(failures) > 0 {
		return fmt.Errorf("%d of %d cases differ\n%w", len(failures), len(s.Cases), errors.Join(failures...))
	}
	return nil
}

// judge holds what was said against what is recorded of Kafka (theirs) and, where it may differ, of Millrace (ours).
func (c Case) judge(kafka bool, said, theirs, ours string) error {
	switch {
	case theirs == "":
		return errors.New("what Kafka says was not recorded")
	case kafka || c.Differs == "":
		return differ(said, theirs)
	case said == theirs:
		return fmt.Errorf("Millrace says what Kafka says, and should not: %s", c.Differs)
	case ours == "":
		return errors.New("what Millrace says was not recorded")
	}
	return differ(said, ours)
}

// load reads the answers of a set by the names of their cases. A file that does not exist has none.
func (s Set) load(kafka bool) (map[string]string, error) {
	text, err := recorded.ReadFile("testdata/" + s.file(kafka))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("recorded answers: %w", err)
	}
	return parse(string(text)), nil
}

// parse takes a file of answers apart.
func parse(text string) map[string]string {
	said := map[string]string{}
	for _, part := range strings.Split("\n"+text, "\n=== ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		if strings.HasPrefix(rest, "# ") {
			_, rest, _ = strings.Cut(rest, "\n")
		}
		said[name] = strings.TrimRight(rest, "\n") + "\n"
	}
	return said
}

// most is how many lines of a difference are shown.
const most = 100

// differ shows the lines of an answer that are not the same, below the question that they belong to.
func differ(got, want string) error {
	if got == want {
		return nil
	}
	g, w := strings.Split(strings.TrimRight(got, "\n"), "\n"), strings.Split(strings.TrimRight(want, "\n"), "\n")
	var b strings.Builder
	asked, shown, lines := "", "", 0
	say := func(mark, line string) {
		if asked != shown {
			b.WriteString("\n" + asked)
			shown = asked
		}
		b.WriteString("\n  " + mark + " " + line)
		lines++
	}
	for len(g) > 0 || len(w) > 0 {
		if lines >= most {
			b.WriteString("\n  …")
			break
		}
		switch {
		case len(g) > 0 && len(w) > 0 && g[0] == w[0]:
			if strings.HasPrefix(g[0], "> ") {
				asked = g[0]
			}
			g, w = g[1:], w[1:]
		case len(w) > 0 && !ahead(g, w[0]):
			say("want", w[0])
			w = w[1:]
		default:
			say("got ", g[0])
			g = g[1:]
		}
	}
	return errors.New(b.String())
}

// ahead reports whether a line comes in the answer to the same question.
func ahead(lines []string, line string) bool {
	for i, l := range lines {
		if l == line {
			return true
		}
		if i > 0 && strings.HasPrefix(l, "> ") {
			return false
		}
	}
	return false
}
