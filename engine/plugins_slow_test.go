package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk"
)

// making is told of each plugin "slow" that is being made, which goes on when something comes
// back: an error, or nil.
var making = make(chan chan error)

func init() {
	sdk.Interceptors.Register("slow", func(c sdk.Config) (sdk.Interceptor, error) {
		c.Int("version", 0)
		told := make(chan error)
		making <- told
		return obedient{}, <-told
	})
}

// makers answers for every instance of the plugin that is made from now on, until stop.
func makers(t *testing.T, err error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case told := <-making:
				told <- err
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-ended }
}

type verdict struct {
	code int16
	why  string
}

// altering changes settings on a connection of its own.
func altering(t *testing.T, b *Broker, changes ...string) <-chan verdict {
	t.Helper()
	p := dial(t, b.Addresses()[0])
	answer := make(chan verdict, 1)
	go func() {
		code, why := p.alterWhy(aBroker, "", changes...)
		answer <- verdict{code, why}
	}()
	return answer
}

// While a plugin is being made the controller makes topics and alters settings, and the plugin
// is there when whoever asked for it is answered.
func TestTheControllerAnswersWhileAPluginIsMade(t *testing.T) {
	b := start(t, t.TempDir())
	p := dial(t, b.Addresses()[0])
	answer := altering(t, b, "plugins=slow")
	first := <-making // it is being made
	s := p.topic(1)
	p.altered(aTopic, s.name, "retention.ms=1000")
	if code, _ := p.alterWhy(aTopic, s.name, "interceptors.produce=slow"); code != kerr.InvalidConfig.Code {
		t.Errorf("a plugin that is not there yet can be named: %s", errorName(code))
	}
	select {
	case got := <-answer:
		t.Fatalf("answered before it was made: %+v", got)
	default:
	}
	end := makers(t, nil)
	first <- nil
	if got := <-answer; got.code != 0 {
		t.Fatalf("%s: %s", errorName(got.code), got.why)
	}
	end()
	p.altered(aTopic, s.name, "interceptors.produce=slow") // without making another
	p.produce(9, s, 0, records("drop", "keep"))
	p.holds(s, "1 keep")
}

func TestAPluginThatCannotBeMadeIsRefusedOnceItIsKnown(t *testing.T) {
	b := start(t, t.TempDir())
	answer := altering(t, b, "plugins=slow")
	first := <-making
	first <- errors.New("it is not here today")
	if got := <-answer; got.code != kerr.InvalidConfig.Code || !strings.Contains(got.why, "it is not here today") {
		t.Errorf("%s: %s", errorName(got.code), got.why)
	}
	defer makers(t, nil)()
	if got := <-altering(t, b, "plugins=slow"); got.code != 0 {
		t.Errorf("after it was mended: %s: %s", errorName(got.code), got.why)
	}
}

// Several changes that all need plugins are decided one after the other, each on what those
// before have made of the settings.
func TestChangesWaitForTheirPlugins(t *testing.T) {
	b := start(t, t.TempDir())
	var answers []<-chan verdict
	for n := range 5 {
		answers = append(answers, altering(t, b, "plugins=slow", fmt.Sprintf("plugin.slow.config.version=%d", n)))
	}
	defer makers(t, nil)()
	for n, answer := range answers {
		if got := <-answer; got.code != 0 {
			t.Errorf("change %d: %s: %s", n, errorName(got.code), got.why)
		}
	}
}

func TestABrokerStopsWhileAPluginIsMade(t *testing.T) {
	b, err := begin(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType = aBroker
	r.Configs = append(r.Configs, alteration("plugins=slow"))
	q.Resources = append(q.Resources, r)
	dial(t, b.Addresses()[0]).send(1, q) // nobody may be there to answer it
	first := <-making
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		stop(t, b)
	}()
	end := makers(t, nil)
	first <- nil
	<-ended
	end()
}
