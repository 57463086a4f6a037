package engine

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a request waits for is no work of the broker's: an operator who looks for the slow part must not
// find that of an idle consumer.
func TestRequestTimesTellWaitingFromWork(t *testing.T) {
	b := start(t, t.TempDir(), "admin.listener=127.0.0.1:0")
	p := dial(t, b.Addresses()[0])
	s := p.topic(1)
	const wait = 1000 // ms
	q := from(s, 0, 0)
	q.MaxWaitMillis = wait
	ask[*kmsg.FetchResponse](p, 12, q)
	p.put(s, 0, records("one"))
	join := kmsg.NewPtrHeartbeatRequest()
	join.Group = "nobody's"
	ask[*kmsg.HeartbeatResponse](p, 4, join)

	stage := func(name, request string) float64 {
		return scrape(t, b, "kafka_network_requestmetrics_"+name+`timems\{quantile="0.999",request="`+request+`"\}`)
	}
	if remote, local := stage("remote", "FetchConsumer"), stage("local", "FetchConsumer"); remote < wait*0.9 || remote > 10*wait || local < 0 || local > wait/2 {
		t.Errorf("a fetch that waited for %d ms: remote %v ms, local %v ms", wait, remote, local)
	}
	for _, request := range []string{"Produce", "Heartbeat"} {
		if remote, local, total := stage("remote", request), stage("local", request), stage("total", request); remote <= 0 || local < 0 || remote+local > 1.2*total {
			t.Errorf("%s: remote %v ms, local %v ms, total %v ms", request, remote, local, total)
		}
	}
}
