package engine

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// holding tells when it was called, and returns when it is let go.
type holding struct{}

var holdCalled, holdLetGo = make(chan struct{}), make(chan struct{})

func (holding) OnProduce(*sdk.Batch) error {
	holdCalled <- struct{}{}
	<-holdLetGo
	return nil
}

func (h holding) OnFetch(b *sdk.Batch) error { return h.OnProduce(b) }

func init() {
	sdk.Interceptors.Register("holding", func(sdk.Config) (sdk.Interceptor, error) { return holding{}, nil })
}

// While an interceptor takes its time, other topics and connections go on; requests behind it
// on its own connection wait; and a peer that goes away meanwhile leaves nothing behind.
func TestASlowInterceptorHoldsUpItsOwnConnectionAlone(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "plugins=holding")
	p := dial(t, b.Addresses()[0])
	slow, plain := p.topic(1, "interceptors.produce", "holding"), p.topic(1)
	first, second := produceRequest(9, slow, 0, -1, records("1")), produceRequest(9, plain, 0, -1, records("behind"))
	p.send(9, first)
	one := p.last
	<-holdCalled
	p.send(9, second)
	other := p.another()
	for range 10 {
		want(t, "another topic", other.produce(9, plain, 0, records("meanwhile")).ErrorCode, nil)
	}
	if got := len(other.stored(plain, 0)); got != 10 {
		t.Errorf("%d records are stored while a request before them on their connection waits, want 10", got)
	}
	holdLetGo <- struct{}{}
	expect[*kmsg.ProduceResponse](p, 9, first, one)
	expect[*kmsg.ProduceResponse](p, 9, second, p.last)
	p.holds(slow, "0 1")

	gone := p.another()
	gone.send(9, produceRequest(9, slow, 0, -1, records("2")))
	<-holdCalled
	gone.conn.Close()
	holdLetGo <- struct{}{}

	p.altered(aTopic, slow.name, "-interceptors.produce", "interceptors.fetch=holding")
	want(t, "without it", p.produce(9, slow, 0, records("3")).ErrorCode, nil)
	gone = p.another()
	gone.send(12, from(slow, 0, 0))
	<-holdCalled
	gone.conn.Close()
	p.altered(aTopic, slow.name, "-interceptors.fetch") // a change of settings waits for nobody
	for range 2 {                                       // of the three batches of that fetch
		holdLetGo <- struct{}{}
		<-holdCalled
	}
	holdLetGo <- struct{}{}
	p.holds(slow, "0 1", "1 2", "2 3")
}
