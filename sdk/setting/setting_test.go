package setting_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/sdk/setting"
)

// A set with one setting of each kind.
var (
	example = setting.NewSet()
	section = example.Section("Examples", "One of each.")

	count   = section.Int(setting.Int{Name: "count", Topic: "topic.count", Default: 5, Min: 1, Max: 9, Dynamic: setting.ClusterWide, Doc: "A count."})
	short   = section.Int(setting.Int{Name: "short", Short: true, Default: 3, Doc: "A short."})
	level   = section.Int(setting.Int{Name: "level", Default: -1, Min: 1, Max: 9, Or: -1, Doc: "A level."})
	long    = section.Long(setting.Long{Name: "long", Default: math.MaxInt64, Min: math.MinInt64, Doc: "A long."})
	ratio   = section.Double(setting.Double{Name: "ratio", Topic: "topic.ratio", Default: 0.5, Max: 1, Doc: "A ratio."})
	enabled = section.Bool(setting.Bool{Name: "enabled", Default: true, Doc: "A switch."})
	mode    = section.String(setting.String{Name: "mode", Default: "slow", Choices: []string{"slow", "fast"}, IgnoreCase: true, Doc: "A mode."})
	rack    = section.String(setting.String{Name: "rack", Null: true, Doc: "A rack."})
	class   = section.Class(setting.String{Name: "class", Null: true, Effect: setting.Refused, Note: "not here", Doc: "A class."})
	secret  = section.Password(setting.String{Name: "secret", Null: true, Doc: "A secret."})
	names   = section.List(setting.List{Name: "names", Default: []string{"a", "b"}, Choices: []string{"a", "b", "c"}, Doc: "Names."})
	wait    = section.Duration(setting.Duration{Name: "wait.ms", Topic: "topic.wait.ms", Synonyms: []string{"wait.minutes", "wait.hours"}, Null: true, Min: -1, Doc: "A time."})
	_       = section.Duration(setting.Duration{Name: "wait.minutes", Unit: time.Minute, Null: true, Min: -1, Int: true, Doc: "A time."})
	_       = section.Duration(setting.Duration{Name: "wait.hours", Unit: time.Hour, Default: 2, Int: true, Doc: "A time."})
	_       = section.Table(setting.Ignored, "later",
		setting.Row{Name: "later.int", Type: setting.TypeInt, Default: "1", Max: 9, Doc: "An int."},
		setting.Row{Name: "later.double", Type: setting.TypeDouble, Default: "0.5", Doc: "A double."},
		setting.Row{Name: "later.bool", Type: setting.TypeBoolean, Default: "true", Doc: "A switch."},
		setting.Row{Name: "later.list", Type: setting.TypeList, Choices: []string{"x"}, Doc: "A list."},
		setting.Row{Name: "later.text", Type: setting.TypeString, Null: true, Doc: "A text."},
	)
	_ = example.Family("plugin.", "not loaded")
)

func values(t *testing.T, text string, overrides ...string) *setting.Values {
	t.Helper()
	layer, _, err := setting.ReadStatic("f", text, overrides)
	if err != nil {
		t.Fatal(err)
	}
	return example.Resolve(layer)
}

func TestEachKindReads(t *testing.T) {
	v := values(t, "count= 7 \nshort=4\nlevel=-1\nlong=-5\nratio=1\nenabled=FALSE\nmode=FAST\nrack= r1\nclass=a.B\nsecret=s\nnames= c , a\nwait.ms=1500")
	if count.Of(v) != 7 || short.Of(v) != 4 || level.Of(v) != -1 || long.Of(v) != -5 || ratio.Of(v) != 1 || enabled.Of(v) ||
		mode.Of(v) != "FAST" || rack.Of(v) != "r1" || class.Of(v) != "a.B" || secret.Of(v) != "s" || wait.Of(v) != 1500*time.Millisecond {
		t.Error("a value is not what was given")
	}
	if got := strings.Join(names.Of(v), "+"); got != "c+a" {
		t.Errorf("names %s", got)
	}
	v = values(t, "")
	if count.Of(v) != 5 || short.Of(v) != 3 || long.Of(v) != math.MaxInt64 || ratio.Of(v) != 0.5 || !enabled.Of(v) || mode.Of(v) != "slow" ||
		rack.Of(v) != "" || len(names.Of(v)) != 2 || wait.Of(v) != 2*time.Hour {
		t.Error("a default is not what was declared")
	}
	if text, set := v.Text(example.Lookup("rack")); set || text != "" {
		t.Errorf("rack is set to %q", text)
	}
	if text, set := v.Text(example.Lookup("wait.ms")); !set || text != "7200000" {
		t.Errorf("wait.ms is %q", text)
	}
}

func TestPrecedence(t *testing.T) {
	for name, test := range map[string]struct {
		text      string
		overrides []string
		want      time.Duration
	}{
		"milliseconds first": {"wait.hours=3\nwait.minutes=4\nwait.ms=5", nil, 5 * time.Millisecond},
		"then minutes":       {"wait.hours=3\nwait.minutes=4", nil, 4 * time.Minute},
		"then hours":         {"wait.hours=3", nil, 3 * time.Hour},
		"then the default":   {"", nil, 2 * time.Hour},
		"no limit":           {"wait.minutes=-1", nil, -1},
		"too long a time":    {"wait.ms=9223372036854775807", nil, setting.Forever},
		"last line counts":   {"wait.ms=1\nwait.ms=2", nil, 2 * time.Millisecond},
		"override":           {"wait.ms=1", []string{"wait.ms=3"}, 3 * time.Millisecond},
		"bad is passed over": {"wait.ms=x\nwait.hours=3", nil, 3 * time.Hour},
	} {
		if got := wait.Of(values(t, test.text, test.overrides...)); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

func TestGiven(t *testing.T) {
	v := values(t, "\nwait.hours=3\nwait.minutes=4").With(map[string]string{"wait.ms": "1"}, nil).Topic(map[string]string{"topic.wait.ms": "2"})
	var got []string
	for _, g := range v.Given(example.Lookup("wait.ms")) {
		got = append(got, g.Name+"="+g.Text+" "+g.Source.String()+strings.Repeat("!", g.Where.Line))
	}
	want := "topic.wait.ms=2 DYNAMIC_TOPIC_CONFIG, wait.ms=1 DYNAMIC_BROKER_CONFIG, wait.minutes=4 STATIC_BROKER_CONFIG!!!, wait.hours=3 STATIC_BROKER_CONFIG!!, wait.hours=2 DEFAULT_CONFIG"
	if strings.Join(got, ", ") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, ", "), want)
	}
	if l := v.Layer(setting.SourceDynamicBroker); l["wait.ms"] != "1" {
		t.Errorf("the broker's dynamic layer is %v", l)
	}
	if l := v.Layer(setting.SourceDefault); l != nil {
		t.Errorf("there is no such layer: %v", l)
	}
}

func TestProblems(t *testing.T) {
	layer, twice, err := setting.ReadStatic("f", strings.Join([]string{
		"count=0", "coutn=1", "class=a.B", "later.int=3", "later.int=4", "later.bool=true", "plugin.x=1", "secret=s", "topic.count=3", "names=a,z",
	}, "\n"), []string{"ratio=2"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range append(twice, example.Problems(layer)...) {
		line := p.Error()
		if p.Fatal() {
			line = "FATAL " + line
		}
		got = append(got, line)
	}
	want := []string{
		"f:4: later.int: given again in line 5, which counts",
		"FATAL --override: ratio=2: Value must be no more than 1 (allowed: 0.0 to 1.0)",
		"FATAL f:1: count=0: Value must be at least 1 (allowed: 1 to 9)",
		"f:2: coutn: unknown setting, ignored; did you mean count?",
		"FATAL f:3: class=a.B: not here",
		"f:5: later.int: later",
		"f:7: plugin.x: not loaded",
		"f:9: topic.count: unknown setting, ignored; this is what a topic calls it: the broker's default is count",
		"FATAL f:10: names=z: String must be one of: a, b, c (allowed: any of a, b, c)",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, _, err := setting.ReadStatic("f", "", []string{"count"}); err == nil || err.Error() != "--override count: not of the form key=value" {
		t.Error(err)
	}
}

// A secret is in no message, wherever it was typed.
func TestSecretsAreNotShown(t *testing.T) {
	set := setting.NewSet()
	set.Section("S", "S.").Password(setting.String{Name: "pin", Null: true, Choices: []string{"x"}, Doc: "A pin."})
	layer, _, err := setting.ReadStatic("f", "pin=canary", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range set.Problems(layer) {
		if strings.Contains(p.Error(), "canary") {
			t.Error(p)
		}
	}
	if _, err := set.Lookup("pin").Parse("pin", "canary"); err == nil || strings.Contains(err.Error(), "canary") {
		t.Error(err)
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{
		"coutn": "count", "counts": "count", "wait.minute": "wait.minutes", "WAIT.ms": "", "something.else.entirely": "", "later.itn": "later.int",
	} {
		if got := example.Nearest(name); got != want {
			t.Errorf("%s is nearest to %q, want %q", name, got, want)
		}
	}
}

func TestDoublesAreWrittenAsJavaDoes(t *testing.T) {
	d := example.Lookup("later.double")
	for text, want := range map[string]string{
		"1": "1.0", ".5": "0.5", "1e3": "1000.0", "1e7": "1.0E7", "1.7976931348623157e308": "1.7976931348623157E308", "0.0001": "1.0E-4", "0": "0.0", "-2.5": "-2.5",
	} {
		if got, err := d.Parse("later.double", text); err != nil || got != want {
			t.Errorf("%s is %s (%v), want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"NaN", "Infinity", "", "x"} {
		if got, err := d.Parse("later.double", text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

func TestMistakesInDeclarationsPanic(t *testing.T) {
	for name, declare := range map[string]func(*setting.Section){
		"no doc":                func(s *setting.Section) { s.Int(setting.Int{Name: "a"}) },
		"no name":               func(s *setting.Section) { s.Int(setting.Int{Doc: "A."}) },
		"default out of limits": func(s *setting.Section) { s.Int(setting.Int{Name: "a", Min: 1, Doc: "A."}) },
		"ignored without why":   func(s *setting.Section) { s.Bool(setting.Bool{Name: "a", Effect: setting.Ignored, Doc: "A."}) },
		"twice": func(s *setting.Section) {
			s.Bool(setting.Bool{Name: "a", Doc: "A."})
			s.Bool(setting.Bool{Name: "a", Doc: "A."})
		},
	} {
		if !panics(func() { declare(setting.NewSet().Section("S", "S.")) }) {
			t.Errorf("%s: no panic", name)
		}
	}
}

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

func TestCheckSeesBadSynonyms(t *testing.T) {
	if err := example.Check(); err != nil {
		t.Fatal(err)
	}
	for name, declare := range map[string]func(*setting.Section){
		"setting a: its synonym b is not declared": func(s *setting.Section) {
			s.Int(setting.Int{Name: "a", Synonyms: []string{"b"}, Doc: "A."})
		},
		"setting a: its synonym b is a BOOLEAN, not a INT": func(s *setting.Section) {
			s.Int(setting.Int{Name: "a", Synonyms: []string{"b"}, Doc: "A."})
			s.Bool(setting.Bool{Name: "b", Doc: "B."})
		},
		"setting a: only one of it and b is a time": func(s *setting.Section) {
			s.Int(setting.Int{Name: "a", Synonyms: []string{"b"}, Doc: "A."})
			s.Duration(setting.Duration{Name: "b", Int: true, Doc: "B."})
		},
	} {
		set := setting.NewSet()
		declare(set.Section("S", "S."))
		if err := set.Check(); err == nil || err.Error() != name {
			t.Errorf("%v, want %s", err, name)
		}
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	v := values(t, "ratio=1").Topic(map[string]string{"topic.count": "3"})
	if n := testing.AllocsPerRun(100, func() {
		if count.Of(v) != 3 || ratio.Of(v) != 1 || !enabled.Of(v) || mode.Of(v) != "slow" || len(names.Of(v)) != 2 || wait.Of(v) != 2*time.Hour {
			t.Fail()
		}
	}); n != 0 {
		t.Fatalf("reading allocates %v times, want 0", n)
	}
}

// Whatever text a setting is given, it is refused or read; what it is shown as reads the same.
func FuzzParseValue(f *testing.F) {
	for _, text := range []string{"", "1", "-1", "+5", "0x1", "1e3", "9223372036854775808", " true ", "a,b", ",", "FAST", "NaN", "1_000"} {
		f.Add(text)
	}
	fuzz.Run(f, func(t *testing.T, text string) {
		for _, d := range example.All() {
			shown, err := d.Parse(d.Name, text)
			if err != nil {
				continue
			}
			again, err := d.Parse(d.Name, shown)
			if err != nil || again != shown {
				t.Fatalf("%s: %q is shown as %q, which is shown as %q (%v)", d.Name, text, shown, again, err)
			}
		}
	})
}

func TestKeysOfAnOpenFamilyAreSettings(t *testing.T) {
	set := setting.NewSet()
	f := set.OpenFamily("plugin.", "Settings of plugins.")
	set.Family("old.", "nobody reads it")
	static := setting.Layer{Source: setting.SourceStatic, Texts: map[string]string{"plugin.a.x": " 1 ", "plugin.a.secret": "s", "old.y": "2"}}
	if problems := set.Problems(static); len(problems) != 1 || problems[0].Key != "old.y" {
		t.Errorf("problems %v", problems)
	}
	v := set.Resolve(static).With(map[string]string{"plugin.a.x": "3"}, map[string]string{"plugin.a.x": "4", "plugin.b.z": "5"})
	if got := fmt.Sprint(v.Family("plugin.")); got != "map[plugin.a.secret:s plugin.a.x:3 plugin.b.z:5]" {
		t.Errorf("the family is %s", got)
	}
	if given := v.GivenFamily("plugin.a.x"); len(given) != 3 || given[0].Text != "3" || given[2].Source != setting.SourceStatic {
		t.Errorf("given are %v", given)
	}
	if !set.InOpenFamily("plugin.x") || set.InOpenFamily("plugin.") || set.InOpenFamily("old.y") {
		t.Error("a key is in the wrong family")
	}
	if !f.Sensitive("plugin.a.secret") || f.Sensitive("plugin.a.x") {
		t.Error("what must not be shown is mistaken")
	}
}
