package option

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

func joptsimple() *Set {
	return &Set{Program: "tool", Options: []Option{
		{Name: "topic", Argument: Required}, {Name: "partitions", Argument: Required, Kind: Integer, Default: "1"},
		{Name: "list"}, {Name: "describe"}, {Name: "state", Argument: Optional, Needs: []string{"list", "describe"}},
		{Name: "config", Argument: Required, Repeat: true}, {Name: "delete", Argument: Required, Split: ",", Repeat: true},
		{Name: "shift-by", Argument: Required, Kind: Long}, {Name: "help", Help: "Print usage information."},
	}}
}

func TestJoptsimpleReads(t *testing.T) {
	g, err := joptsimple().Parse(strings.Fields("--topic=a=b -partitions 3 --list --state --config x=1 --config y=2 --delete k,l --shift-by -5 left over"))
	if err != nil {
		t.Fatal(err)
	}
	if g.Text("topic") != "a=b" || g.Int("partitions") != 3 || !g.Has("state") || g.Text("state") != "" || g.Long("shift-by") != -5 {
		t.Errorf("read %v", g.values)
	}
	if got := append(g.Texts("config"), g.Texts("delete")...); !slices.Equal(got, []string{"x=1", "y=2", "k", "l"}) {
		t.Errorf("read %v", got)
	}
	g, err = joptsimple().Parse(strings.Fields("--describe --state stable -- --list"))
	if err != nil || g.Text("state") != "stable" || g.Has("list") || g.Int("partitions") != 1 {
		t.Errorf("read %v, %v", g.values, err)
	}
}

func TestJoptsimpleMistakes(t *testing.T) {
	for line, want := range map[string]string{
		"--nonsense":               "nonsense is not a recognized option",
		"--topi x":                 "topi is not a recognized option",
		"--topic":                  "Option topic requires an argument",
		"--state":                  "Option(s) [state] are unavailable given other options on the command line",
		"--topic a --topic b":      "Found multiple arguments for option topic, but you asked for only one",
		"--partitions three":       "Cannot parse argument 'three' of option partitions",
		"--partitions 99999999999": "Cannot parse argument '99999999999' of option partitions",
	} {
		if _, err := joptsimple().Parse(strings.Fields(line)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
	if _, err := joptsimple().Parse([]string{"--help", "--state"}); err != nil {
		t.Errorf("help along with a mistake: %v", err)
	}
}

func TestChecks(t *testing.T) {
	g, err := joptsimple().Parse(strings.Fields("--topic a --list"))
	if err != nil {
		t.Fatal(err)
	}
	for want, err := range map[string]error{
		`Missing required argument "[config]"`:                                g.Require("topic", "config"),
		`Exactly one of the following arguments is required: [topic], [list]`: g.ExactlyOne("topic", "list"),
		`Option "[topic]" can't be used with option "[list]"`:                 g.Conflict("topic", "topic", "describe", "list"),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := errors.Join(g.Require("topic"), g.ExactlyOne("topic", "config"), g.Conflict("config", "list")); err != nil {
		t.Error(err)
	}
}

func argparse() *Set {
	return &Set{Program: "perf", Argparse: true, Options: []Option{
		{Name: "num-records", Argument: Required, Kind: Long, Metavar: "N"}, {Name: "throughput", Argument: Required, Kind: Double},
		{Name: "topic", Argument: Required}, {Name: "props", Argument: Many, Repeat: true}, {Name: "print"}, {Name: "help"},
	}}
}

func TestArgparse(t *testing.T) {
	g, err := argparse().Parse(strings.Fields("--num 10 --throughput -1 --props a=1 b=2 --print"))
	if err != nil || g.Long("num-records") != 10 || g.Double("throughput") != -1 || !g.Has("print") || !slices.Equal(g.Texts("props"), []string{"a=1", "b=2"}) {
		t.Errorf("read %v, %v", g.values, err)
	}
	for line, want := range map[string]string{
		"--t x":             "ambiguous option: --t could match --throughput, --topic",
		"--nonsense":        "unrecognized arguments: '--nonsense'",
		"-topic x":          "unrecognized arguments: '-topic'",
		"stray":             "unrecognized arguments: 'stray'",
		"--props":           "argument --props: expected at least one argument",
		"--topic --print":   "argument --topic: expected one argument",
		"--num-records ten": `argument --num-records: could not convert 'ten' to Long (For input string: "ten")`,
	} {
		if _, err := argparse().Parse(strings.Fields(line)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
	if g, err := argparse().Parse([]string{"-h"}); err != nil || !g.Has("help") {
		t.Errorf("-h: %v", err)
	}
}

func commands() *Set {
	return &Set{Program: "tool.sh", Argparse: true, Options: []Option{{Name: "server", Argument: Required, Must: true}, {Name: "help"}},
		Commands: []*Set{
			{Program: "list", Summary: "list all", Argparse: true, Options: []Option{{Name: "state", Argument: Required}, {Name: "help"}}},
			{Program: "describe", Argparse: true, Options: []Option{{Name: "id", Argument: Required, Kind: Integer, Must: true}, {Name: "help"}}},
		}}
}

func TestCommands(t *testing.T) {
	g, err := commands().Parse(strings.Fields("--server a describe --id 7"))
	if err != nil || g.Command() != "describe" || g.Text("server") != "a" || g.Int("id") != 7 {
		t.Errorf("read %q %v, %v", g.Command(), g.values, err)
	}
	if g, err := commands().Parse(strings.Fields("--server a list --help")); err != nil || !g.Has("help") {
		t.Errorf("help of a command: %v", err)
	}
	if g, err := commands().Parse(strings.Fields("--help")); err != nil || !g.Has("help") {
		t.Errorf("help: %v", err)
	}
	for line, want := range map[string]string{
		"":                           "too few arguments",
		"--server a":                 "too few arguments",
		"--server a nonsense":        "invalid choice: 'nonsense' (choose from 'list', 'describe')",
		"list":                       "argument --server is required",
		"--server a describe":        "argument --id is required",
		"--server a list --id 7":     "unrecognized arguments: '--id'",
		"list --server a":            "unrecognized arguments: '--server'",
		"--server a list stray":      "unrecognized arguments: 'stray'",
		"--server a describe --id x": `argument --id: could not convert 'x' to Integer (For input string: "x")`,
	} {
		if _, err := commands().Parse(strings.Fields(line)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
	var out bytes.Buffer
	commands().Synopsis(&out)
	commands().CommandUsage(&out)
	if !strings.Contains(out.String(), "COMMAND ...") || !strings.Contains(out.String(), "list: list all") || !strings.Contains(out.String(), "--id <Integer>") {
		t.Errorf("help lacks commands:\n%s", out.String())
	}
}

func TestUsage(t *testing.T) {
	var out bytes.Buffer
	joptsimple().Usage(&out)
	for _, want := range []string{"Option  ", "--topic <String>", "--state [String]", "--partitions <Integer>", "(default: 1)", "Print usage information."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help lacks %q:\n%s", want, out.String())
		}
	}
	for line := range strings.Lines(out.String()) {
		if len(line) > 81 {
			t.Errorf("help line is %d wide: %q", len(line)-1, line)
		}
	}
}
