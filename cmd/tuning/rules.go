package tuning

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Proposal is one change and why it might help.
type Proposal struct {
	Rule   string  `json:"rule"`
	Why    string  `json:"why"`
	Score  float64 `json:"score"` // the share of cost that it is about, 0 to 1
	Change Change  `json:"change"`
	// Weakens says what the broker would promise less. Such a change is tried only when asked for.
	Weakens string `json:"weakens,omitempty"`
	// Loses says what nobody does any more with the change. It is tried, for that is what it costs,
	// but a person decides: it is never written so that it takes effect by itself.
	Loses string `json:"loses,omitempty"`
}

// rule is a row of the table: it looks at an observation and may propose changes.
type rule struct {
	name  string
	speak func(o *Observation) []Proposal
}

// rules are what the tuner knows. Thresholds are shares of processor time, from profiles of
// brokers that were well set up: there, none of them speaks.
var rules = []rule{
	{"slow-plugin", slowPlugin},
	{"tiny-batches", tinyBatches},
	{"no-linger", noLinger},
	{"one-in-flight", oneInFlight},
	{"small-fetches", smallFetches},
	{"eager-gc", eagerGC},
	{"recompression", recompression},
	{"costly-codec", costlyCodec},
	{"no-journal", noJournal},
	{"small-sockets", smallSockets},
	{"many-threads", manyThreads},
	{"sync-each", syncEach},
}

const (
	smallRequest  = 8 << 10  // bytes of a produce request below which its fixed cost is most of it
	goodBatch     = 64 << 10 // bytes
	goodLinger    = "5ms"
	goodInFlight  = 5
	smallFetch    = 256 << 10 // bytes of an answer to a fetch below which consumers ask often
	goodFetch     = 50 << 20  // bytes: as many as there are
	goodAnswer    = 55 << 20  // likewise, of the broker
	goodPartition = 1 << 20
	eagerPercent  = 100.0
	calmPercent   = 200
	calmerPercent = 800
)

func percent(part float64) string { return fmt.Sprintf("%.0f %%", 100*part) }

// slowPlugin: take away the plugin that costs most, if it costs much. What it does nobody
// does then, so that it is for a person to decide.
func slowPlugin(o *Observation) (all []Proposal) {
	for _, name := range o.pluginsNamed() {
		part, wait := Part(o.CPU.Labels[ByPlugin], name), o.PluginMillis[name]
		if part < 0.05 && wait < 1 {
			continue
		}
		why := fmt.Sprintf("plugin %s takes %s of the broker's processor time", name, percent(part))
		if wait >= 1 {
			why += fmt.Sprintf(", and %.1f ms for each batch", wait)
		}
		for _, key := range slices.Sorted(maps.Keys(o.Plugins)) {
			if slices.Contains(o.Plugins[key], name) {
				all = append(all, Proposal{
					Why: why, Score: max(part, min(wait/10, 0.9)), Change: o.withoutPlugin(key, name),
					Loses: "what plugin " + name + " does",
				})
			}
		}
	}
	return all
}

// fixed is the share that does not grow with the bytes of a request.
func fixed(o *Observation) float64 {
	return o.class(Network) + o.class(Scheduler) + o.class(Code) + o.class(Disk) + o.class(Lock)
}

func tinyBatches(o *Observation) []Proposal {
	if o.RequestBytes <= 0 || o.RequestBytes >= smallRequest || o.Batch >= goodBatch {
		return nil
	}
	saved := fixed(o) * (1 - o.RequestBytes/goodBatch)
	if saved < 0.3 {
		return nil
	}
	return []Proposal{{
		Why:   fmt.Sprintf("a produce request has %.0f bytes, and %s of the processor time is spent for each request whatever it has", o.RequestBytes, percent(fixed(o))),
		Score: saved, Change: Change{Workload, "batch", strconv.Itoa(o.Batch), strconv.Itoa(goodBatch)},
	}}
}

// noLinger: records that arrive one by one leave one by one, however large a batch may be.
func noLinger(o *Observation) []Proposal {
	if !o.ByRecord || o.LingerMillis >= 1 || o.RequestBytes <= 0 || o.RequestBytes >= smallRequest {
		return nil
	}
	return []Proposal{{
		Why:   fmt.Sprintf("records leave as they come, %.0f bytes at a time: a producer that waits a little sends fewer requests", o.RequestBytes),
		Score: fixed(o) * 0.9, Change: Change{Workload, "linger", fmt.Sprintf("%gms", o.LingerMillis), goodLinger},
	}}
}

func oneInFlight(o *Observation) []Proposal {
	if !o.AsFastAsGoes || o.InFlight != 1 {
		return nil
	}
	return []Proposal{{
		Why:   "a producer waits for each answer before it sends again (in_flight 1), so that the broker waits too and shares no sync",
		Score: 0.25, Change: Change{Workload, "in_flight", "1", strconv.Itoa(goodInFlight)},
	}}
}

// smallFetches: consumers that may have little at a time ask for each piece, however much there is to read.
func smallFetches(o *Observation) (all []Proposal) {
	part := Part(o.CPU.Labels[ByAPI], "Fetch")
	if o.FetchBytes == 0 || part < 0.1 {
		return nil
	}
	why := func(size int, setting string) string {
		return fmt.Sprintf("%s of the processor time goes into fetches, which may have %d bytes each (%s)", percent(part), size, setting)
	}
	if size, err := strconv.Atoi(o.Settings["fetch.max.bytes"]); err == nil && size < smallFetch {
		all = append(all, Proposal{
			Why: why(size, "fetch.max.bytes of the broker"), Score: part / 2,
			Change: Change{Setting, "fetch.max.bytes", o.Settings["fetch.max.bytes"], strconv.Itoa(goodAnswer)},
		})
	}
	for _, one := range []struct {
		key, words string
		size, good int
	}{{"fetch_bytes", "fetch.max.bytes of a consumer", o.FetchBytes, goodFetch}, {"partition_bytes", "max.partition.fetch.bytes of a consumer", o.PartitionBytes, goodPartition}} {
		if one.size < smallFetch {
			all = append(all, Proposal{
				Why: why(one.size, one.words), Score: part / 2,
				Change: Change{Workload, one.key, strconv.Itoa(one.size), strconv.Itoa(one.good)},
			})
		}
	}
	return all
}

// eagerGC: the collector runs more often than the heap deserves.
func eagerGC(o *Observation) (all []Proposal) {
	part := o.class(GC)
	if part < 0.05 {
		return nil
	}
	why := fmt.Sprintf("the garbage collector takes %s of the processor time (%.0f collections a second, GOGC %.0f)", percent(part), o.GCPerSecond, o.GCPercent)
	if limit := o.Environment["GOMEMLIMIT"]; limit != "" && limit != "off" && o.GCPercent >= eagerPercent {
		all = append(all, Proposal{
			Why: why + "; a GOMEMLIMIT of " + limit + " in the environment has it collect sooner than that", Score: part,
			Change: Change{Environment, "GOMEMLIMIT", limit, ""}, Loses: "what GOMEMLIMIT=" + limit + " does",
		})
	}
	if given := o.Environment["GOGC"]; given != "" {
		if o.GCPercent < eagerPercent {
			all = append(all, Proposal{Why: why + "; GOGC in the environment wins over gc.percent", Score: part, Change: Change{Environment, "GOGC", given, ""}})
		}
		return all
	}
	to := calmPercent
	if o.GCPercent >= calmPercent {
		to = calmerPercent
	}
	if o.GCPercent >= calmerPercent {
		return all
	}
	return append(all, Proposal{Why: why, Score: part, Change: Change{Setting, "gc.percent", o.Settings["gc.percent"], strconv.Itoa(to)}})
}

// compression is the compression.type that counts, and the change that makes it another: topics may have their own.
func (o *Observation) compression(to string) (kind string, change Change) {
	const key = "compression.type"
	if kind = o.TopicConfig[key]; kind == "" {
		return o.Settings[key], Change{Setting, key, o.Settings[key], to}
	}
	next := maps.Clone(o.TopicConfig)
	next[key] = to
	return kind, Change{Workload, "config", mapping(o.TopicConfig), mapping(next)}
}

// recompression: the broker compresses anew what producers have compressed, or have not.
func recompression(o *Observation) []Proposal {
	kind, change := o.compression("producer")
	part := o.class(Codec)
	if kind == "" || kind == "producer" || part < 0.1 {
		return nil
	}
	return []Proposal{{
		Why:   fmt.Sprintf("%s of the processor time goes into codecs, because compression.type=%s has the broker compress batches anew; with \"producer\" they stay as they came", percent(part), kind),
		Score: part, Change: change,
	}}
}

// costlyCodec: the broker has to look into what producers compress (a compacted topic).
func costlyCodec(o *Observation) []Proposal {
	part := o.class(Codec)
	if kind, _ := o.compression(""); kind != "" && kind != "producer" || part < 0.1 || o.Codec != "gzip" && o.Codec != "zstd" {
		return nil
	}
	return []Proposal{{
		Why:   fmt.Sprintf("%s of the processor time goes into decompressing %s, which lz4 does faster", percent(part), o.Codec),
		Score: part / 2, Change: Change{Workload, "codec", o.Codec, "lz4"},
	}}
}

func noJournal(o *Observation) []Proposal {
	if o.Settings["log.journal.bytes"] != "0" || o.Settings["log.flush.mode"] != "commit" || o.class(Disk) < 0.1 {
		return nil
	}
	return []Proposal{{
		Why:   fmt.Sprintf("%s of the processor time goes into files, and without a journal each partition is synced by itself", percent(o.class(Disk))),
		Score: o.class(Disk), Change: Change{Setting, "log.journal.bytes", "0", strconv.Itoa(128 << 20)},
	}}
}

// smallSockets: large requests through socket buffers that hold a part of one.
func smallSockets(o *Observation) (all []Proposal) {
	if o.class(Network) < 0.3 || o.RequestBytes < goodBatch {
		return nil
	}
	for _, key := range []string{"socket.receive.buffer.bytes", "socket.send.buffer.bytes"} {
		if size, err := strconv.Atoi(o.Settings[key]); err == nil && size > 0 && float64(size) < 2*o.RequestBytes {
			all = append(all, Proposal{
				Why:   fmt.Sprintf("%s of the processor time goes into sockets whose buffers (%s=%d) are small beside a request of %.0f bytes; -1 has the system choose", percent(o.class(Network)), key, size, o.RequestBytes),
				Score: o.class(Network) / 4, Change: Change{Setting, key, o.Settings[key], "-1"},
			})
		}
	}
	return all
}

// manyThreads: more shards than processors wake each other.
func manyThreads(o *Observation) []Proposal {
	threads, err := strconv.Atoi(o.Settings["num.io.threads"])
	if err != nil || o.Cores <= 0 || threads <= o.Cores || o.class(Scheduler) < 0.25 {
		return nil
	}
	return []Proposal{{
		Why:   fmt.Sprintf("%s of the processor time goes into waking goroutines, and there are %d shards on %d processors", percent(o.class(Scheduler)), threads, o.Cores),
		Score: o.class(Scheduler) / 4, Change: Change{Setting, "num.io.threads", o.Settings["num.io.threads"], strconv.Itoa(o.Cores)},
	}}
}

// syncEach: the promise itself is what costs.
func syncEach(o *Observation) []Proposal {
	if o.Settings["log.flush.mode"] != "commit" || o.class(Disk) < 0.2 {
		return nil
	}
	return []Proposal{{
		Why:     fmt.Sprintf("%s of the processor time goes into files; with log.flush.mode=interval nobody waits for a sync", percent(o.class(Disk))),
		Weakens: "what was acknowledged in the last second may be lost in a power cut",
		Score:   o.class(Disk) / 2, Change: Change{Setting, "log.flush.mode", "commit", "interval"},
	}}
}

// Propose asks all rules, and answers what speaks for the most first. What was tried before
// is left out, and what weakens a promise unless that is allowed.
func Propose(o *Observation, tried []Change, weaken bool) (all []Proposal) {
	for _, r := range rules {
		for _, p := range r.speak(o) {
			p.Rule = r.name
			if slices.Contains(tried, p.Change) || p.Change.From == p.Change.To || p.Weakens != "" && !weaken {
				continue
			}
			all = append(all, p)
		}
	}
	slices.SortStableFunc(all, func(a, b Proposal) int { return cmp.Compare(b.Score, a.Score) })
	return all
}
