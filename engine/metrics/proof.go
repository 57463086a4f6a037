package metrics

import "github.com/prometheus/client_golang/prometheus"

// proofKey is where somebody proved who it is, and by what.
type proofKey struct{ listener, mechanism string }

// Proofs counts how clients of one listener proved who they are by one mechanism. Whoever serves a
// connection keeps the handle.
type Proofs struct {
	first, again, failed, failedAgain Counter

	Expired Counter // connections that went on without another proof when one was due
}

// Proofs is the handle of a listener and a mechanism; "" stands for all that there are not.
func (m *Metrics) Proofs(listener, mechanism string) *Proofs {
	key := proofKey{listener, mechanism}
	if p, ok := m.proofs.Load(key); ok {
		return p.(*Proofs)
	}
	p, _ := m.proofs.LoadOrStore(key, new(Proofs))
	return p.(*Proofs)
}

// Succeeded counts a proof: the first of a connection, or another one.
func (p *Proofs) Succeeded(again bool) {
	if again {
		p.again.Add(1)
		return
	}
	p.first.Add(1)
}

// Failed counts a proof that failed.
func (p *Proofs) Failed(again bool) {
	if again {
		p.failedAgain.Add(1)
		return
	}
	p.failed.Add(1)
}

// proofCounters are Kafka's counts, which it has by listener alone.
var proofCounters = []struct {
	name, help string
	of         func(*Proofs) *Counter
}{
	{"successful_authentication_total", "Connections whose clients proved who they are.", func(p *Proofs) *Counter { return &p.first }},
	{"failed_authentication_total", "Connections closed because their clients did not.", func(p *Proofs) *Counter { return &p.failed }},
	{"successful_reauthentication_total", "Times that clients proved again who they are (connections.max.reauth.ms).", func(p *Proofs) *Counter { return &p.again }},
	{"failed_reauthentication_total", "Times that this failed.", func(p *Proofs) *Counter { return &p.failedAgain }},
	{"expired_authentication_total", "Connections closed because their clients went on without proving it again.", func(p *Proofs) *Counter { return &p.Expired }},
}

func (m *Metrics) collectProofs(out chan<- prometheus.Metric) {
	m.proofs.Range(func(key, handle any) bool {
		k, p := key.(proofKey), handle.(*Proofs)
		for _, c := range proofCounters {
			count(out, "kafka_server_socketservermetrics_"+c.name, c.help, c.of(p).Load(), "listener", k.listener, "mechanism", k.mechanism)
		}
		return true
	})
}
