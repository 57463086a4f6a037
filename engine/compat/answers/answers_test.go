package answers

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestDiffer(t *testing.T) {
	const want = "> Metadata v1\n< ControllerID=1\n  Brokers: NodeID=1\n  Brokers: NodeID=2\n> Heartbeat v1\n< ErrorCode=NONE\n"
	for name, test := range map[string]struct{ got, fail string }{
		"the same": {want, ""},
		"another":  {strings.Replace(want, "NONE", "OTHER", 1), "\n> Heartbeat v1\n  want < ErrorCode=NONE\n  got  < ErrorCode=OTHER"},
		"one less": {strings.Replace(want, "  Brokers: NodeID=1\n", "", 1), "\n> Metadata v1\n  want   Brokers: NodeID=1"},
		"one more": {strings.Replace(want, "  Brokers: NodeID=2\n", "  Brokers: NodeID=2\n  Brokers: NodeID=3\n", 1), "\n> Metadata v1\n  got    Brokers: NodeID=3"},
		"an end":   {"> Metadata v1\n< the connection is closed\n", "want > Heartbeat v1"},
	} {
		t.Run(name, func(t *testing.T) {
			err := differ(test.got, want)
			if test.fail == "" && err != nil || test.fail != "" && (err == nil || !strings.Contains(err.Error(), test.fail)) {
				t.Errorf("got %v, want %q", err, test.fail)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	reason := Case{Differs: "there is one node"}
	for name, test := range map[string]struct {
		c                  Case
		kafka              bool
		said, theirs, ours string
		fail               string
	}{
		"alike":                             {said: "a\n", theirs: "a\n"},
		"not alike":                         {said: "b\n", theirs: "a\n", fail: "want a"},
		"Kafka not as recorded":             {kafka: true, c: reason, said: "b\n", theirs: "a\n", ours: "b\n", fail: "want a"},
		"never recorded":                    {said: "a\n", fail: "was not recorded"},
		"differs with a reason":             {c: reason, said: "b\n", theirs: "a\n", ours: "b\n"},
		"differs with a reason, otherwise":  {c: reason, said: "c\n", theirs: "a\n", ours: "b\n", fail: "want b"},
		"differs with a reason, unrecorded": {c: reason, said: "c\n", theirs: "a\n", fail: "what Millrace says was not recorded"},
		"a reason for nothing":              {c: reason, said: "a\n", theirs: "a\n", ours: "b\n", fail: "and should not: there is one node"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.c.judge(test.kafka, test.said, test.theirs, test.ours)
			if test.fail == "" && err != nil || test.fail != "" && (err == nil || !strings.Contains(err.Error(), test.fail)) {
				t.Errorf("got %v, want %q", err, test.fail)
			}
		})
	}
}

func TestParse(t *testing.T) {
	said := parse("=== one\n# Millrace differs: so\n> A\n< B\n\n=== two\n> C\n")
	if len(said) != 2 || said["one"] != "> A\n< B\n" || said["two"] != "> C\n" {
		t.Errorf("got %q", said)
	}
}

func TestAnswerIsNormal(t *testing.T) {
	a := kmsg.NewPtrMetadataResponse()
	a.ClusterID = kmsg.StringPtr("x7")
	a.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 1, Host: "h", Port: 4711}}
	for _, id := range []byte{9, 3} {
		topic := kmsg.NewMetadataResponseTopic()
		topic.ErrorCode, topic.Topic, topic.TopicID = 3, kmsg.StringPtr(string('z'-rune(id))), [16]byte{id, 0, 0, 1}
		a.Topics = append(a.Topics, topic)
	}
	got := new(symbols).name((&Talk{}).answer(a))
	const tail = " IsInternal=false Partitions=null AuthorizedOperations=-2147483648"
	want := " ClusterID=CLUSTER ControllerID=-1 AuthorizedOperations=-2147483648 ErrorCode=NONE\n" +
		"  Brokers: NodeID=1 Host=h Port=PORT Rack=null\n" +
		"  Topics: ErrorCode=UNKNOWN_TOPIC_OR_PARTITION Topic=q TopicID=ID-1" + tail + "\n" +
		"  Topics: ErrorCode=UNKNOWN_TOPIC_OR_PARTITION Topic=w TopicID=ID-2" + tail
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestIdsKeepTheirNames(t *testing.T) {
	const member = "app-0a1b2c3d-0000-4000-8000-0123456789ab"
	text := new(symbols).name(quote(member) + " " + quote("app") + " " + quote("other-1a1b2c3d-0000-4000-8000-0123456789ab") + " " + quote(member))
	if want := "app-UUID-1 app other-UUID-2 app-UUID-1"; text != want {
		t.Errorf("got %q, want %q", text, want)
	}
	if text := new(symbols).name("\x00producer:17\x00 \x00producer:-1\x00 \x00producer:17\x00"); text != "PRODUCER-1 -1 PRODUCER-1" {
		t.Errorf("got %q", text)
	}
	var s symbols
	s.name("\x00id:A\x00 \x00id:B\x00")
	if got := s.known("\x00id:B\x00 \x00id:C\x00"); got != "ID-2 ?" {
		t.Errorf("got %q", got)
	}
	if text := new(symbols).name("\x00id:AAECAwQFBgcICQoLDA0ODw\x00 of AAECAwQFBgcICQoLDA0ODw"); text != "ID-1 of ID-1" {
		t.Errorf("got %q", text)
	}
}

// A case that fails in its own code would else agree with any other that was cut short.
func TestAPanicIsWrittenDown(t *testing.T) {
	text := Case{Ask: func(*Talk) { _ = append([]kmsg.Response(nil), nil)[1] }}.run(t.Context(), "")
	if !strings.Contains(text, "! the case panicked") {
		t.Errorf("said %q", text)
	}
}

// TestEveryCaseIsRecorded: names that two cases share, or that nothing is recorded for, would be seen only in a run.
func TestEveryCaseIsRecorded(t *testing.T) {
	for _, s := range sets {
		theirs, err := s.load(true)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := s.load(false)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, c := range s.Cases {
			if strings.Contains("\n"+theirs[c.Name], "\n! ") {
				t.Errorf("%s: %s: it was cut short when it was recorded", s.Name, c.Name)
			}
			if seen[c.Name] || theirs[c.Name] == "" || (ours[c.Name] != "") != (c.Differs != "") {
				t.Errorf("%s: %s: twice, or not recorded as it should be", s.Name, c.Name)
			}
			seen[c.Name] = true
		}
		for name := range ours {
			if !seen[name] {
				t.Errorf("%s: %s: what Millrace says is recorded of no case", s.Name, name)
			}
		}
		if len(theirs) != len(s.Cases) {
			t.Errorf("%s: %d cases are recorded of %d", s.Name, len(theirs), len(s.Cases))
		}
	}
}
