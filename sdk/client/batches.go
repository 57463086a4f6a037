package client

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

// batchInterceptors are the interceptors that see whole batches, as a broker's do: those that
// settings name, which are made and have to be closed, and those that were given, if the client
// may have them.
func (s *settings) batchInterceptors(given []sdk.Interceptor, check func(*chain.Plugin) error) (plugins []chain.Plugin, made []any, err error) {
	for _, name := range BatchInterceptors.Of(s.Values) {
		texts := map[string]string{}
		for key, text := range s.given {
			if rest, ok := strings.CutPrefix(key, pluginPrefix+name+"."); ok {
				texts[rest] = text
			}
		}
		rules, kind, own, err := chain.Rules(name, texts, 0)
		if err == nil {
			if rules.Interceptor, err = chain.Make(kind, sdk.NewConfig(own)); err == nil {
				made = append(made, rules.Interceptor)
				err = check(&rules)
			}
		}
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("%s: plugin %s: %w", BatchInterceptors.Name, name, err), closeAll(made))
		}
		plugins = append(plugins, rules)
	}
	for _, i := range given {
		one := chain.Plugin{Name: fmt.Sprintf("%T", i), Interceptor: i}
		if err := check(&one); err != nil {
			return nil, nil, errors.Join(fmt.Errorf("BatchInterceptors: %w", err), closeAll(made))
		}
		plugins = append(plugins, one)
	}
	return plugins, made, nil
}

// screening shows what was fetched to interceptors.
type screening struct {
	plugins []chain.Plugin
	runner  *chain.Runner
	builder batch.Builder
	client  string
}

// newScreening is nil when there are no interceptors.
func newScreening(plugins []chain.Plugin, client string) *screening {
	if len(plugins) == 0 {
		return nil
	}
	return &screening{plugins: plugins, runner: chain.New(time.Now), client: client}
}

// mostShown is about how many bytes of records are shown at once.
const mostShown = 1 << 20

// see shows the records of k, in batches of those that came together. What interceptors leave
// out stays where it is and is not delivered, so that the position gets past it. After an
// error k is as it was.
func (s *screening) see(k *chunk) error {
	after := make([]*kgo.Record, len(k.records))
	copy(after, k.records)
	dropped := map[*kgo.Record]bool{}
	for from := 0; from < len(after); {
		to := from
		for s.builder.Reset(); to < len(after); to++ {
			r := after[to]
			delta := r.Offset - after[from].Offset
			if to > from && (s.builder.Len() >= mostShown || delta > math.MaxInt32) {
				break
			}
			if !r.Attrs.IsControl() {
				s.builder.AppendAt(int32(delta), r.Timestamp.UnixMilli(), r.Key, r.Value, headersOf(r))
			}
		}
		if s.builder.Count() > 0 {
			if err := s.show(k, after[from:to], dropped); err != nil {
				return err
			}
		}
		from = to
	}
	k.records, k.shown = after, true
	if len(dropped) > 0 {
		k.dropped = dropped
	}
	return nil
}

func headersOf(r *kgo.Record) (headers []batch.Header) {
	for _, h := range r.Headers {
		headers = append(headers, batch.Header{Key: h.Key, Value: h.Value})
	}
	return headers
}

// show shows what the builder has, and makes the records of it what they are afterwards.
func (s *screening) show(k *chunk, records []*kgo.Record, dropped map[*kgo.Record]bool) error {
	options := batch.NoProducer()
	options.BaseOffset, options.LeaderEpoch = records[0].Offset, records[0].LeaderEpoch
	b, err := s.builder.Finish(options)
	if err != nil {
		return err
	}
	out, err := s.runner.Run(s.plugins, &chain.Input{Topic: k.Topic, Partition: k.Partition, ClientID: s.client, Batch: b, Fetch: true})
	if err != nil || !out.Rebuilt {
		return err
	}
	left := batch.Walk(out.Batch[batch.HeaderSize:], out.Batch.Count())
	more := left.Next()
	for i, r := range records {
		switch {
		case r.Attrs.IsControl():
		case more && int64(left.Record().OffsetDelta) == r.Offset-records[0].Offset:
			records[i] = edited(r, left.Record())
			more = left.Next()
		default:
			dropped[r] = true
		}
	}
	return left.Err()
}

// edited is a record with what interceptors left of it.
func edited(r *kgo.Record, is *batch.Record) *kgo.Record {
	changed := *r
	changed.Key, changed.Value, changed.Headers = is.Key, is.Value, nil
	for _, h := range is.Headers {
		changed.Headers = append(changed.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return &changed
}
