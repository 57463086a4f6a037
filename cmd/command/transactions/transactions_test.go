package transactions

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// begun is a cluster in which the id tx has a transaction open in partition 0 of orders.
func begun(t *testing.T) (*kfake.Cluster, *session.Session, *bytes.Buffer) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.TransactionalID("tx"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(producer.Close)
	if err := producer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := producer.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("x")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	s, err := session.Open(t.Context(), session.Options{Streams: session.Streams{Out: &out, Err: &out}, Servers: cluster.ListenAddrs()[0]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return cluster, s, &out
}

// rows fails unless the table that was printed has one row, which matches, or none for "".
func rows(t *testing.T, out *bytes.Buffer, err error, row string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	out.Reset()
	if err != nil {
		t.Fatal(err)
	}
	if row == "" && len(lines) != 1 || row != "" && (len(lines) != 2 || !regexp.MustCompile("^"+row+`\s*$`).MatchString(lines[1])) {
		t.Fatalf("printed %q, want a row %q", lines, row)
	}
}

func TestAnOpenTransactionIsSeenFromBothSides(t *testing.T) {
	_, s, out := begun(t)
	ctx, orders := t.Context(), session.Partition{Topic: "orders"}
	rows(t, out, List(ctx, s, ListOptions{Longer: -1}), `tx\s+\d+\s+\d+\s+Ongoing`)
	rows(t, out, Describe(ctx, s, "tx", time.Now()), `\d+\s+tx\s+\d+\s+\d+\s+Ongoing\s+\d+\s+\d+\s+\d+\s+orders-0`)
	rows(t, out, Producers(ctx, s, orders, nil), `\d+\s+\d+\s+-?\d+\s+0\s+\d+\s+0`)
	late := time.Now().Add(time.Hour)
	rows(t, out, FindHanging(ctx, s, HangingOptions{Topic: "orders", Longest: time.Minute, Now: late}), "")
	if err := Terminate(ctx, s, "tx"); err != nil {
		t.Fatal(err)
	}
	rows(t, out, Producers(ctx, s, orders, nil), "") // a broker may also list the producer, with None
}

func TestWhatTheCoordinatorDoesNotKnowHangs(t *testing.T) {
	at := func(partition int32, id int64) open {
		return open{session.Partition{Topic: "orders", Partition: partition}, producer{ProducerID: id}}
	}
	_, s, _ := begun(t)
	known, err := producers(t.Context(), s, []session.Partition{{Topic: "orders"}}, nil)
	if err != nil || len(known) != 1 {
		t.Fatal(known, err)
	}
	id := known[session.Partition{Topic: "orders"}][0].ProducerID
	hanging, err := unknown(t.Context(), s, []open{at(0, id), at(1, id), at(0, id+77)})
	if err != nil || len(hanging) != 2 || hanging[0].Partition.Partition != 1 || hanging[1].ProducerID != id+77 {
		t.Fatalf("%v hang, %v", hanging, err)
	}
}

func TestAbort(t *testing.T) {
	cluster, s, _ := begun(t)
	orders := session.Partition{Topic: "orders"}
	for _, start := range []int64{5, -1} {
		err := Abort(t.Context(), s, Spec{Partition: orders, StartOffset: &start})
		if err == nil || !strings.Contains(err.Error(), "Could not find any open transactions starting at offset") {
			t.Errorf("aborting what begins at %d: %v", start, err)
		}
	}
	var marker kmsg.WriteTxnMarkersRequestMarker
	cluster.ControlKey(kmsg.WriteTxnMarkers.Int16(), func(q kmsg.Request) (kmsg.Response, error, bool) {
		marker = q.(*kmsg.WriteTxnMarkersRequest).Markers[0] //nolint:forcetypeassert // it has this key
		return nil, nil, false
	})
	start := int64(0)
	if err := Abort(t.Context(), s, Spec{Partition: orders, StartOffset: &start}); err != nil {
		t.Fatal(err)
	}
	known, err := producers(t.Context(), s, []session.Partition{orders}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if marker.Committed || marker.ProducerID != known[orders][0].ProducerID || marker.CoordinatorEpoch < 0 ||
		len(marker.Topics) != 1 || marker.Topics[0].Topic != "orders" || len(marker.Topics[0].Partitions) != 1 {
		t.Errorf("wrote the marker %+v", marker)
	}
}
