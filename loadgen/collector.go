package loadgen

import (
	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/millrace/millrace/results"
)

// collector merges the intervals of all loops, second by second. Owned by the goroutine
// that calls run; read it when run has returned.
type collector struct {
	recorders []*recorder
	in        chan *interval
	primary   kind
	first     int                 // index of the first second
	tick      func(results.Point) // every complete second, in order; may be nil
	each      func(*merged)       // likewise

	open    map[int]*merged
	ended   int
	reached []int // per loop: first index not yet delivered
	emitted int

	total   tally // measured part only
	latency [kinds]*hdrhistogram.Histogram
	series  []results.Point
}

// merged is one second of all loops.
type merged struct {
	index  int
	length int64 // nanoseconds
	tally
	latency [kinds]*hdrhistogram.Histogram
}

// run merges until every loop has ended.
func (c *collector) run() {
	c.open = map[int]*merged{}
	c.reached = make([]int, len(c.recorders))
	for i := range c.reached {
		c.reached[i] = c.first
	}
	c.emitted = c.first
	for c.ended < len(c.recorders) {
		i := <-c.in
		c.merge(i)
		c.reached[i.loop] = i.index + 1
		if i.last {
			c.ended++
			c.reached[i.loop] = int(^uint(0) >> 1)
		}
		c.recorders[i.loop].recycle(i)
		c.emit()
	}
}

func (c *collector) merge(i *interval) {
	m := c.open[i.index]
	if m == nil {
		m = &merged{index: i.index}
		c.open[i.index] = m
	}
	m.length = max(m.length, i.length)
	m.add(&i.tally)
	mergeAll(&m.latency, &i.latency)
	if i.index >= 0 {
		c.total.add(&i.tally)
		mergeAll(&c.latency, &i.latency)
	}
}

func mergeAll(into, from *[kinds]*hdrhistogram.Histogram) {
	for k, h := range from {
		if h == nil || h.TotalCount() == 0 {
			continue
		}
		if into[k] == nil {
			into[k] = results.NewHistogram()
		}
		into[k].Merge(h)
	}
}

// emit publishes the seconds that every loop has delivered.
func (c *collector) emit() {
	complete := c.reached[0]
	for _, index := range c.reached {
		complete = min(complete, index)
	}
	for ; c.emitted < complete; c.emitted++ {
		m := c.open[c.emitted]
		if m == nil {
			if len(c.open) == 0 {
				return
			}
			continue
		}
		delete(c.open, c.emitted)
		c.publish(m)
	}
}

// shortest is the least part of a second whose rate means anything.
const shortest = second / 5

func (c *collector) publish(m *merged) {
	if c.each != nil {
		c.each(m)
	}
	if m.length < shortest {
		return
	}
	seconds := float64(m.length) / float64(second)
	point := results.Point{
		T: float64(m.index-c.first) + seconds, Warmup: m.index < 0,
		Rate: float64(max(m.acked, m.received)) / seconds, Megabytes: float64(max(m.bytes, m.readBytes)) / 1e6 / seconds,
	}
	if h := m.latency[c.primary]; h != nil {
		point.P50 = float64(h.ValueAtPercentile(50)) / 1e3
		point.P99 = float64(h.ValueAtPercentile(99)) / 1e3
		point.Max = float64(h.Max()) / 1e3
	}
	c.series = append(c.series, point)
	if c.tick != nil {
		c.tick(point)
	}
}
