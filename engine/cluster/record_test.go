package cluster

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
	"github.com/millrace/millrace/engine/security/acl"
	"github.com/millrace/millrace/sdk"
)

var rewriteGolden = flag.Bool("rewrite-golden", false, "write testdata/records.golden anew")

// everyKind is one record of each kind, with every field set.
func everyKind() []Record {
	retention := "1000"
	one := Partition{Leader: 1, LeaderEpoch: 2, Epoch: 3, Replicas: []int32{1, 2}, ISR: []int32{1}, Directories: []ID{{1}, {2}}}
	return []Record{
		&ClusterRecord{ID: "MkU3OEVBNTcwNTJENDM2Qg"},
		&FeatureRecord{Name: "metadata.version", Level: 30},
		&BrokerRecord{ID: 1, Epoch: 7, Incarnation: ID{3}, Host: "broker-1", Port: 9092, Rack: "eu-1", Directories: []ID{{1}}},
		&TopicRecord{
			Name: "orders", ID: ID{4}, Internal: true, Partitions: []Partition{one},
			Configs: map[string]string{"retention.ms": "1000", "cleanup.policy": "delete"},
		},
		&PartitionsRecord{Topic: ID{4}, First: 1, Partitions: []Partition{one}},
		&PartitionRecord{Topic: ID{4}, Index: 1, Partition: one},
		&RemoveTopicRecord{ID: ID{4}},
		&ConfigRecord{Resource: TopicConfig, Name: "orders", Values: map[string]*string{"retention.ms": &retention, "segment.bytes": nil}},
		&ProducerIDsRecord{Broker: 1, BrokerEpoch: 7, Next: math.MaxInt64},
		&ACLRecord{acl.Binding{
			Resource: sdk.ResourceTopic, Pattern: acl.Prefixed, Name: "orders", Principal: "User:alice", Host: "*", Operation: sdk.OperationDescribeConfigs, Permission: acl.Allow,
		}},
		&RemoveACLRecord{acl.Binding{
			Resource: sdk.ResourceTransactionalID, Pattern: acl.Literal, Name: "*", Principal: "User:*", Host: "10.0.0.1", Operation: sdk.OperationAll, Permission: acl.Deny,
		}},
		&ScramCredentialRecord{User: "alice", Mechanism: ScramSHA256, Salt: []byte("salt"), StoredKey: bytes.Repeat([]byte{1}, 32), ServerKey: bytes.Repeat([]byte{2}, 32), Iterations: 4096},
		&RemoveScramCredentialRecord{User: "alice", Mechanism: ScramSHA256},
	}
}

// TestGolden holds the text of every kind of record against testdata/records.golden: data
// folders hold this text, so it must be readable for ever.
func TestGolden(t *testing.T) {
	records := everyKind()
	if len(records) != len(kinds) {
		t.Fatalf("%d records for %d kinds", len(records), len(kinds))
	}
	path := filepath.Join("testdata", "records.golden")
	text := Append(nil, records)
	if *rewriteGolden {
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden = bytes.TrimSuffix(golden, newline)
	if !bytes.Equal(text, golden) {
		t.Errorf("records are written as\n%s\nwant\n%s", text, golden)
	}
	parsed, err := Parse(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(parsed, records) {
		t.Errorf("read %+v, want %+v", parsed, records)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want error
	}{
		"nothing":                   {"", ErrRecord},
		"no object":                 {"[]", ErrRecord},
		"no version":                {`{"type":"feature","name":"x"}`, ErrRecord},
		"version no number":         {`{"type":"feature","version":"0","name":"x"}`, ErrRecord},
		"cut short":                 {`{"type":"feature","version":0,"name":"x"`, ErrRecord},
		"cut at the version":        {`{"type":"feature","version":0`, ErrRecord},
		"something behind":          {`{"type":"feature","version":0,"name":"x","level":1}{}`, ErrRecord},
		"another version":           {`{"type":"feature","version":1,"name":"x","level":1}`, ErrVersion},
		"another type":              {`{"type":"gossip","version":0}`, ErrKind},
		"another field":             {`{"type":"feature","version":0,"name":"x","level":1,"type2":1}`, ErrRecord},
		"an id cut short":           {`{"type":"removeTopic","version":0,"id":"AQAAAA"}`, ErrRecord},
		"an id not base64":          {`{"type":"removeTopic","version":0,"id":"AQAAAAAAAAAAAAAAAAA=AA"}`, ErrRecord},
		"an operation that is none": {`{"type":"acl","version":0,"resource":"TOPIC","pattern":"LITERAL","name":"x","principal":"User:a","host":"*","operation":"LOOK","permission":"ALLOW"}`, ErrRecord},
		"not UTF-8":                 {"{\"type\":\"cluster\",\"version\":0,\"id\":\"\xff\"}", ErrRecord},
		"an empty line":             {"{\"type\":\"cluster\",\"version\":0,\"id\":\"x\"}\n", ErrRecord},
	} {
		t.Run(name, func(t *testing.T) {
			if records, err := Parse([]byte(test.text)); !errors.Is(err, test.want) {
				t.Fatalf("got %v, %v, want %v", records, err, test.want)
			}
		})
	}
}

// FuzzParse reads any bytes as records. What is read must be written and read as the same,
// and applying it must answer an image that is in order, or an error.
func FuzzParse(f *testing.F) {
	for _, record := range everyKind() {
		f.Add(Append(nil, []Record{record}))
	}
	f.Add(Append(nil, everyKind()))
	fuzz.Run(f, func(t *testing.T, text []byte) {
		records, err := Parse(text)
		if err != nil {
			return
		}
		written := Append(nil, records)
		again, err := Parse(written)
		if err != nil {
			t.Fatalf("%q was read and written as %q, which cannot be read: %v", text, written, err)
		}
		if rewritten := Append(nil, again); !bytes.Equal(written, rewritten) {
			t.Fatalf("written as %q, then as %q", written, rewritten)
		}
		if image, err := Empty().Apply(records); err == nil {
			if err := image.Check(); err != nil {
				t.Fatalf("applying %q: %v", text, err)
			}
		}
	})
}

func TestIDs(t *testing.T) {
	draws := 0
	id := NewID(func() (random [16]byte) {
		draws++
		if draws == 1 {
			random[0] = 0xf8 // its text would begin with a dash
		}
		return random
	})
	if draws != 2 || id.String() != "AAAAAAAAQACAAAAAAAAAAA" || id.Zero() {
		t.Fatalf("drew %d times: %s", draws, id)
	}
	back, err := ParseID(id.String())
	if err != nil || back != id {
		t.Fatalf("read %s, %v; want %s", back, err, id)
	}
	for _, text := range []string{"", "AAAAAAAAQACAAAAAAAAAAAA", "AAAAAAAAQACAAAAAAAAAA+", "AAAAAAAAQACAAAAAAAAAAB"} {
		if _, err := ParseID(text); err == nil {
			t.Errorf("%q was taken for an id", text)
		}
	}
}

func TestCreateRefusesWhatTheLogWouldChange(t *testing.T) {
	i := withTopics(t, 1)
	bad := "a\xffb"
	refused := checkValue("retention.ms", &bad, nil)
	if refused == nil || !strings.Contains(refused.Message, "not UTF-8") {
		t.Fatalf("got %v", refused)
	}
	long := strings.Repeat("v", maxValueLength+1)
	if refused := checkValue("x", &long, nil); refused == nil || !strings.Contains(refused.Message, "32767 bytes") {
		t.Fatalf("got %v", refused)
	}
	records, _, _ := RegisterBroker(i, Broker{ID: 2, Host: bad, Rack: bad})
	if parsed, err := Parse(Append(nil, records)); err != nil || !reflect.DeepEqual(parsed, records) {
		t.Fatalf("got %+v, %v, want %+v", parsed, err, records)
	}
}
