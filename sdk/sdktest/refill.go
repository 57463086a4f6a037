package sdktest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

// checkClient has the plugin see the same records as in a broker and as in a producer, which
// numbers them afterwards: what is left must be the same.
func checkClient(t T, s Subject, create func() (sdk.Interceptor, error)) {
	if s.Unstable {
		return
	}
	inBroker, err := s.native()
	if err != nil {
		t.Fatalf("make the plugin: %v", err)
		return
	}
	defer closed(inBroker)
	inClient, err := create()
	if err != nil {
		t.Fatalf("make the plugin for a client: %v", err)
		return
	}
	defer closed(inClient)
	broker, client := chain.New(time.Now), chain.New(time.Now)
	for _, g := range Goldens() {
		if g.Batch.ProducerID() >= 0 {
			continue // a client's have no producer yet
		}
		want := brokerLeaves(broker, inBroker, g)
		if got := clientLeaves(client, inClient, g); got != want {
			t.Errorf("%s: a client leaves\n%.400s\nand a broker\n%.400s", g.Name, got, want)
		}
	}
}

// brokerLeaves are the records that a broker would store.
func brokerLeaves(r *chain.Runner, i sdk.Interceptor, g Golden) string {
	out, err := r.Run([]chain.Plugin{{Name: "subject", Interceptor: i}}, &chain.Input{Topic: "orders", Partition: 1, Batch: bytes.Clone(g.Batch)})
	if err != nil {
		return refusal(err)
	}
	return leftOf(out.Batch) + elsewhere(out.Aside)
}

// leftOf are the records of a batch.
func leftOf(b batch.Batch) string {
	if b.Count() == 0 {
		return ""
	}
	records, err := b.Records(nil, maxPlain)
	if err != nil {
		return err.Error()
	}
	return left(&records, b.BaseTimestamp())
}

// elsewhere are the records that go to other topics.
func elsewhere(all []chain.Aside) string {
	var out strings.Builder
	for i := range all {
		fmt.Fprintf(&out, "to %s:\n%s", all[i].Topic, leftOf(all[i].Batch))
	}
	return out.String()
}

// clientLeaves are the records that a producer would send.
func clientLeaves(r *chain.Runner, i sdk.Interceptor, g Golden) string {
	var b batch.Builder
	records, err := g.Batch.Records(nil, maxPlain)
	if err != nil {
		return err.Error()
	}
	for records.Next() {
		one := records.Record()
		b.Append(g.Batch.BaseTimestamp()+one.TimestampDelta, one.Key, one.Value, one.Headers)
	}
	if b.Count() == 0 {
		return "" // there is no such batch in a producer
	}
	_, others, err := r.Refill([]chain.Plugin{{Name: "subject", Interceptor: i}}, &chain.Input{Topic: "orders", Partition: 1}, &b)
	if err != nil {
		return refusal(err)
	}
	sent := b.Records()
	return left(&sent, b.Base()) + elsewhere(others)
}

func refusal(err error) string {
	if refused, ok := errors.AsType[*chain.Refusal](err); ok {
		return fmt.Sprintf("refused (%d): %s", refused.Cause, refused.Reason)
	}
	return err.Error()
}

func left(records *batch.Reader, base int64) string {
	var out strings.Builder
	for records.Next() {
		r := records.Record()
		fmt.Fprintf(&out, "%d %s\n", base+r.TimestampDelta, record(&sdk.View{Key: r.Key, Value: r.Value, Headers: r.Headers}))
	}
	return out.String()
}
