package groups

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/engine/fuzz"
)

func TestParseDateTime(t *testing.T) {
	for text, want := range map[string]int64{
		"1970-01-01T00:00:00.000":       0,
		"1970-01-01T00:00:01.5":         1005, // milliseconds, as Java reads them
		"1970-01-01T01:00:00.000+01:00": 0,
		"1970-01-01T01:00:00.000+0100":  0,
		"1970-01-01T00:00:00.000-02":    7200000,
		"2026-01-31T08:30:00.250Z":      1769848200250,
		"2026-01-31T08:30:00":           1769848200000,
	} {
		if got, err := parseDateTime(text); err != nil || got.UnixMilli() != want {
			t.Errorf("%s: %d, %v, want %d", text, got.UnixMilli(), err, want)
		}
	}
	for _, text := range []string{"", "2026-01-31", "2026-02-30T00:00:00.000", "2026-01-31T25:00:00.000", "2026-01-31T08:30:00.1000", "soon"} {
		if got, err := parseDateTime(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"P1D": 24 * time.Hour, "PT2H30M": 150 * time.Minute, "P1DT1.5S": 24*time.Hour + 1500*time.Millisecond, "pt0s": 0,
		"-PT1H": -time.Hour, "PT-1.25S": -1250 * time.Millisecond, "P-1DT1H": -23 * time.Hour,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "P", "PT", "P1DT", "1D", "PT1D", "P1W", "PT1S1H"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func at(topic string, partition int32) session.Partition {
	return session.Partition{Topic: topic, Partition: partition}
}

func TestPlanRoundTrip(t *testing.T) {
	p := plan{"g,1": {at("orders", 10): 7, at("orders", 2): 5}, "a-group-with-quite-a-long-name": {at("a", 0): 1}}
	var out bytes.Buffer
	p.export(&out, false)
	want := "\"a-group-with-quite-a-long-name\",a,0,1\n\"g,1\",orders,2,5\n\"g,1\",orders,10,7\n\n"
	if out.String() != want {
		t.Errorf("exported %q, want %q", out.String(), want)
	}
	back, err := parsePlan(out.String(), nil)
	if err != nil || !reflect.DeepEqual(back, p) {
		t.Errorf("read back %v, %v, want %v", back, err, p)
	}
	out.Reset()
	one := plan{"g": {at("orders", 0): 3}}
	one.export(&out, true)
	if back, err = parsePlan(out.String(), []string{"g"}); err != nil || !reflect.DeepEqual(back, one) {
		t.Errorf("read back %v, %v, want %v", back, err, one)
	}
}

func TestParsePlanMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"orders,0,1":       "line 1: expected topic,partition,offset with one --group",
		"g,orders,x,1":     `line 1: partition "x" is not a number`,
		"g,o,1,2\ng,o,1,y": `line 2: offset "y" is not a number`,
		"g,\"o,1,2":        "line 1: ",
	} {
		if _, err := parsePlan(text, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParsePlan(f *testing.F) {
	f.Add("g,orders,0,1\n")
	f.Add("\"g,\"\"1\",orders,0,9223372036854775807\n")
	fuzz.Run(f, func(t *testing.T, text string) {
		p, err := parsePlan(text, nil)
		if err != nil {
			return
		}
		var out bytes.Buffer
		p.export(&out, false)
		back, err := parsePlan(out.String(), nil)
		if err != nil && !strings.ContainsAny(text, "\r") {
			t.Fatalf("exported %q, which cannot be read: %v", out.String(), err)
		}
		if err == nil && !reflect.DeepEqual(back, p) {
			t.Fatalf("read back %v, want %v", back, p)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	f.Add("P1DT2H3M4.5S")
	fuzz.Run(f, func(t *testing.T, text string) {
		_, _ = parseDuration(text)
		_, _ = parseDateTime(text)
	})
}

// A group in which some members speak the old protocol and some the new has one more
// column; columns grow with what is in them.
func TestMembersOfAMixedGroup(t *testing.T) {
	old, modern, epoch, target := false, true, int32(3), int32(4)
	d := description{group: "g", state: "Stable", targetEpoch: &target, members: []member{
		{id: "old-member-with-a-long-id", host: "/10.0.0.1", client: "c1", epoch: &epoch, assigned: []session.Partition{at("b", 1), at("a", 0), at("a", 2)}, upgraded: &old},
		{id: "new", instance: "i", host: "/10.0.0.2", client: "c2", epoch: &epoch, target: []session.Partition{at("b", 1)}, upgraded: &modern},
	}}
	var out, errs bytes.Buffer
	printer{&out, &errs}.members(d, true)
	want := "\n" +
		"GROUP           CONSUMER-ID               GROUP-INSTANCE-ID HOST            CLIENT-ID       #PARTITIONS     CURRENT-EPOCH   CURRENT-ASSIGNMENT   TARGET-EPOCH    TARGET-ASSIGNMENT    UPGRADED\n" +
		"g               old-member-with-a-long-id                   /10.0.0.1       c1              3               3               a:0,2;b:1            4               -                    false\n" +
		"g               new                       i                 /10.0.0.2       c2              0               3               -                    4               b:1                  true\n"
	if out.String() != want || errs.Len() > 0 {
		t.Errorf("printed\n%s\nwant\n%s\nremarks %q", out.String(), want, errs.String())
	}
}

func TestRemarks(t *testing.T) {
	for state, want := range map[string]string{
		"Dead": "\nError: Consumer group 'g' does not exist.\n", "Empty": "\nConsumer group 'g' has no active members.\n",
		"PreparingRebalance": "\nWarning: Consumer group 'g' is rebalancing.\n", "Stable": "",
	} {
		var both bytes.Buffer
		shown := printer{&both, &both}.remark("g", state, 1)
		if both.String() != want || shown != (state != "Dead") {
			t.Errorf("%s: %q, shown %t", state, both.String(), shown)
		}
	}
}

// A partition that was deleted, or has no leader, has neither an end nor a lag.
func TestRowWithoutEnd(t *testing.T) {
	r := row{Partition: at("gone", 0)}
	r.fill(map[session.Partition]commit{at("gone", 0): {5, -1}}, nil)
	if r.current != "5" || r.end != "-" || r.lag != "-" || r.epoch != "-" {
		t.Errorf("%+v", r)
	}
}

func TestParseTopics(t *testing.T) {
	named, whole, err := parseTopics([]string{"a:0,2", "b"})
	if err != nil || !reflect.DeepEqual(named, []session.Partition{at("a", 0), at("a", 2)}) || !reflect.DeepEqual(whole, []string{"b"}) {
		t.Errorf("%v %v %v", named, whole, err)
	}
	for _, arg := range []string{"a:", "a:b", "a:0:1"} {
		if _, _, err := parseTopics([]string{arg}); err == nil {
			t.Errorf("%s was accepted", arg)
		}
	}
}

func TestStatesAndTypes(t *testing.T) {
	got, err := words("stable, preparing_rebalance,EMPTY", States, "%s %s")
	if err != nil || !reflect.DeepEqual(got, []string{"Stable", "PreparingRebalance", "Empty"}) {
		t.Errorf("%v %v", got, err)
	}
}
