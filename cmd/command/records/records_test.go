package records

import (
	"testing"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/engine/fuzz"
)

func TestParse(t *testing.T) {
	got, err := Parse("orders:2:1000")
	if want := (Before{session.Partition{Topic: "orders", Partition: 2}, 1000}); err != nil || got != want {
		t.Errorf("read %v, %v", got, err)
	}
	for _, text := range []string{"", "orders", "orders:0", ":0:1", "orders:x:1", "orders:0:y", "orders:0:1:2", "orders:4294967296:1"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}

func TestParseJSON(t *testing.T) {
	got, err := ParseJSON([]byte(`{"partitions": [{"topic": "a", "partition": 1, "offset": 9007199254740993}, {"topic": "b", "partition": 0, "offset": -1}]}`))
	if err != nil || len(got) != 2 || got[0].Offset != 9007199254740993 || got[1].String() != "b-0" {
		t.Errorf("read %v, %v", got, err)
	}
	for text, want := range map[string]string{
		`{"partitions": {}}`:                                                              "Expected JSON array, received {}",
		`{"partitions": [7]}`:                                                             "Expected JSON object, received 7",
		`{"partitions": [], "version": "1"}`:                                              "Expected `Integer` value, received \"1\"",
		`{"partitions": [{"topic": "a"}]}`:                                                "No such field exists: `partition`",
		`{"partitions": [], "version": 3}`:                                                "Not supported version field value 3",
		`{"partitions": [{"topic": 1, "partition": 0, "offset": 0}]}`:                     "Expected `String` value, received 1",
		`{"partitions": [{"topic": "a", "partition": 4294967296, "offset": 0}]}`:          "Expected `Integer` value, received 4294967296",
		`{"partitions": [{"topic": "a", "partition": 0, "offset": 9223372036854775808}]}`: "Expected `Long` value, received 9223372036854775808",
	} {
		if _, err := ParseJSON([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

func FuzzParseJSON(f *testing.F) {
	f.Add([]byte(`{"partitions": [{"topic": "a", "partition": 1, "offset": 3}], "version": 1}`))
	fuzz.Run(f, func(t *testing.T, text []byte) {
		all, err := ParseJSON(text)
		if err != nil && all != nil {
			t.Fatalf("both %v and %v", all, err)
		}
	})
}
