package topics

import (
	"reflect"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
)

func TestPattern(t *testing.T) {
	for _, test := range []struct {
		list, topic string
		want        bool
	}{
		{"orders", "orders", true}, {"orders", "orders2", false}, {"ord.*", "orders", true}, {"a, b", "b", true}, {"a,b", "ab", false}, {`"quoted"`, "quoted", true},
	} {
		expression, err := Pattern(test.list)
		if err != nil || expression.MatchString(test.topic) != test.want {
			t.Errorf("%q matches %q: %t, %v", test.list, test.topic, !test.want, err)
		}
	}
	if _, err := Pattern("a("); err == nil || err.Error() != "a( is an invalid regex." {
		t.Errorf("a(: %v", err)
	}
}

func TestParseAssignment(t *testing.T) {
	got, err := parseAssignment("0:1, 1:2")
	if err != nil || !reflect.DeepEqual(got, [][]int32{{0, 1}, {1, 2}}) {
		t.Errorf("%v %v", got, err)
	}
	for list, want := range map[string]string{
		"1:1":   "Partition replica lists may not contain duplicate entries: 1",
		"0:1,2": "Partition 1 has different replication factor: [2]",
		"a":     `replica assignment "a": "a" is not a broker id`,
	} {
		if _, err := parseAssignment(list); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", list, err, want)
		}
	}
}

func TestRules(t *testing.T) {
	for spec, admits := range map[string]map[int32]bool{
		"t":     {0: true, 9: true},
		"t:3":   {2: false, 3: true, 4: false},
		"t:1-3": {0: false, 1: true, 2: true, 3: false},
		"t:5-":  {4: false, 5: true, 900: true},
		":-3":   {2: true, 3: false},
	} {
		one, err := parseRule(spec)
		if err != nil || !one.topic.MatchString("t") {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		for p, want := range admits {
			if one.admit(p) != want {
				t.Errorf("%s admits partition %d: %t", spec, p, !want)
			}
		}
	}
	for _, spec := range []string{"t:a", "t:1-2-3", "a:b:c"} {
		if _, err := parseRule(spec); err == nil {
			t.Errorf("%s was accepted", spec)
		}
	}
}

// What is typed as a rule, a list of brokers, a time or settings is read or refused.
func FuzzArguments(f *testing.F) {
	for _, text := range []string{"orders:3", "a.*:1-3", ":5-", "o|p:-3", "0:1,1:2", "0:0", "latest", "-3", "a=b", " a = b = c", "[", "x{1000000}"} {
		f.Add(text)
	}
	fuzz.Run(f, func(t *testing.T, text string) {
		if r, err := parseRule(text); err == nil {
			r.admit(1)
		}
		if all, err := parseAssignment(text); err == nil {
			for _, replicas := range all {
				if len(replicas) != len(all[0]) {
					t.Fatalf("%q is read as %v", text, all)
				}
			}
		}
		if c, err := parseConfigs([]string{text}); err == nil && len(c) != 1 {
			t.Fatalf("%q is read as %v", text, c)
		}
		_, _ = parseTime(text)
	})
}
