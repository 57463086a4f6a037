package sdktest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/millrace/millrace/plugins/wasm"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
	"github.com/millrace/millrace/sdk/chain"
)

// disturbed is a module that a test can disturb.
type disturbed interface{ Disturb(d wasm.Disturbance) }

// troubled is a module as one that a test can disturb, or nil.
func troubled(t T, what string, module any) disturbed {
	t.Helper()
	trouble, is := module.(disturbed)
	if !is {
		t.Fatalf("%s is a %T, which no test can disturb", what, module)
	}
	return trouble
}

// loaded has a module checked that may take its time.
func loaded(t T, s Subject, check func(t T, module sdk.Interceptor, unstable bool)) {
	t.Helper()
	module, err := s.module(patient)
	if err != nil {
		t.Fatalf("load the module: %v", err)
		return
	}
	defer closed(module)
	check(t, module, s.Unstable)
}

// known is a golden batch that a module was shown with nothing in its way.
type known struct {
	Golden
	fetch  bool // it looks at what is fetched, and not at what is produced
	answer string
	fuel   int64 // that it takes; 0: the module looks at neither
}

// show shows a golden batch to a module, and says what that cost.
func (k *known) show(t T, module sdk.Interceptor) (answer string, fuel int64, changed bool, err error) {
	t.Helper()
	b, _, err := open(k.Golden)
	if err != nil {
		t.Fatalf("%s: %v", k.Name, err)
		return "", 0, false, err
	}
	before := spent(module)
	answer, err = call(module, b, k.fetch)
	return answer, spent(module) - before, b.Changed(), err
}

func spent(module any) int64 {
	if m, is := module.(sdk.Metered); is {
		return m.Spent()
	}
	return 0
}

// learn shows golden batches to a module that is left alone.
func learn(t T, module sdk.Interceptor, names ...string) (all []known) {
	t.Helper()
	for _, name := range names {
		k := known{Golden: Golden{name, build(shapes()[name], noProducer)}}
		answer, first, _, err := k.show(t, module)
		if k.fetch = first == 0; k.fetch {
			answer, first, _, err = k.show(t, module)
		}
		_, second, _, again := k.show(t, module) // which finds memory that the first one had to ask for
		if err := errors.Join(err, again); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		k.answer, k.fuel = answer, min(first, second)
		all = append(all, k)
	}
	return all
}

// again shows a batch to a module that is left alone again, as its next caller does.
func (k *known) again(t T, module sdk.Interceptor, after string, unstable bool) {
	t.Helper()
	if answer, _, _, err := k.show(t, module); err != nil || answer != k.answer && !unstable {
		t.Errorf("%s: after %s the module answers\n%.400s\n(%v), and before that\n%.400s", k.Name, after, answer, err, k.answer)
	}
}

// cutOff has the module trap in the middle of its work, once for each eighth of it, and run past its deadline.
// The batch must stay as it was, hosts must do with it what the policy says, and the next call must be right.
func cutOff(t T, module sdk.Interceptor, unstable bool) {
	t.Helper()
	trouble := troubled(t, "the module", module)
	if trouble == nil {
		return
	}
	for _, k := range learn(t, module, "one", "many", "headers", "parts", "hostile") {
		for eighth := range int64(8) {
			if cost := k.fuel * eighth / 8; k.fuel > 0 {
				why := fmt.Sprintf("it was cut off after %d of %d units", cost, k.fuel)
				each := max(1, cost/parts(k.Golden))
				trouble.Disturb(wasm.Disturbance{Fuel: each})
				if k.fails(t, module, why, wasm.ErrFuel, each*parts(k.Golden)) {
					k.policies(t, module, why)
				}
				trouble.Disturb(wasm.Disturbance{})
				k.again(t, module, why, unstable)
			}
		}
		if k.fuel > 0 && parts(k.Golden) > 1 {
			const why = "its deadline was over"
			trouble.Disturb(wasm.Disturbance{Late: true})
			k.fails(t, module, why, wasm.ErrDeadline, 0)
			k.policies(t, module, why)
			trouble.Disturb(wasm.Disturbance{})
			k.again(t, module, why, unstable)
		}
	}
}

// patient are limits under which a slow machine answers the largest batch too.
var patient = map[string]string{"deadline.ms": "10000", "output.max": "8388608"}

// parts is in how many calls a module sees a batch, at least: it has that much fuel for each.
func parts(g Golden) int64 { return 1 + int64(len(g.Batch))>>16 }

// fails shows the batch, which must fail and stay as it was. It reports whether it did: a guest that collects garbage
// now and then may have enough of the fuel.
func (k *known) fails(t T, module sdk.Interceptor, why string, want error, enough int64) bool {
	t.Helper()
	answer, fuel, changed, err := k.show(t, module)
	if err == nil && answer == k.answer && fuel <= enough {
		return false
	}
	if !errors.Is(err, want) {
		t.Errorf("%s: %s, and the call gave %v", k.Name, why, err)
	}
	if err != nil && changed {
		t.Errorf("%s: %s, and the batch has changed", k.Name, why)
	}
	return true
}

// policies has a host run the plugin with each error policy while it fails.
func (k *known) policies(t T, module sdk.Interceptor, why string) {
	t.Helper()
	runner := chain.New(time.Now)
	for policy := chain.Fail; policy <= chain.DeadLetter; policy++ {
		p := chain.Plugin{Name: "subject", Interceptor: module, OnError: policy, DeadLetter: "dead"}
		if p.Check() != nil || k.fetch && policy == chain.DeadLetter {
			continue // the module forbids it, or a host cannot
		}
		out, err := runner.Run([]chain.Plugin{p}, &chain.Input{Topic: "orders", Partition: 1, ClientID: "sdktest", Batch: bytes.Clone(k.Batch), Fetch: k.fetch})
		refused, _ := errors.AsType[*chain.Refusal](err)
		right := false
		switch policy {
		case chain.Fail:
			right = refused != nil && refused.Cause == chain.Faulted
		case chain.Skip:
			right = err == nil && bytes.Equal(out.Batch, k.Batch) && len(out.Aside) == 0
		case chain.DeadLetter:
			right = err == nil && out.Batch.Count() == 0 && len(out.Aside) == 1 && out.Aside[0].Records == int(k.Batch.Count())
		}
		if !right {
			t.Errorf("%s: %s, and a host with on.error=%v lets %d records on and %d elsewhere: %v", k.Name, why, policy, count(out.Batch), len(out.Aside), err)
		}
	}
}

func count(b batch.Batch) int32 {
	if len(b) == 0 {
		return 0
	}
	return b.Count()
}

// checkMemory gives the module less memory, step by step, until it does not start any more. What it cannot do then
// must be an error that leaves the batch as it was, and no wrong answer; the next call must be right, or fail as well.
func checkMemory(t T, s Subject) {
	most := int64(8 << 20)
	if text := s.Limits["memory.max"]; text != "" {
		var err error
		if most, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Fatalf("memory.max: %v", err)
			return
		}
	}
	lessMemory(t, s.module, caps(most>>16, s.Module), s.Unstable)
}

// lessMemory is checkMemory for a module that can be loaded with each of so many pages.
func lessMemory(t T, load func(limits map[string]string) (sdk.Interceptor, error), caps []int64, unstable bool) {
	t.Helper()
	whole, err := load(patient)
	if err != nil {
		t.Fatalf("load the module: %v", err)
		return
	}
	all := learn(t, whole, "large", "parts", "one")
	closed(whole)
	for _, pages := range caps {
		limits := maps.Clone(patient)
		limits["memory.max"] = strconv.FormatInt(pages<<16, 10)
		module, err := load(limits)
		if err != nil {
			return // it does not start with so little
		}
		for _, k := range append(all, all...) {
			answer, _, changed, err := k.show(t, module)
			switch {
			case err == nil && answer != k.answer && !unstable:
				t.Errorf("%s: with %d KiB of memory the module answers\n%.400s\nand with more\n%.400s", k.Name, pages<<6, answer, k.answer)
			case err != nil && changed:
				t.Errorf("%s: with %d KiB of memory the module fails (%v), and the batch has changed", k.Name, pages<<6, err)
			case err != nil && !fault(err):
				t.Errorf("%s: with %d KiB of memory the call gave %v, which is no fault of a module", k.Name, pages<<6, err)
			}
		}
		closed(module)
	}
}

// slowModule is how large a file is that takes seconds to compile, as those are that Go makes: there are fewer steps.
const slowModule = 512 << 10

// caps are numbers of pages, each less than the one before.
func caps(most int64, module string) (all []int64) {
	if info, err := os.Stat(module); err == nil && info.Size() > slowModule {
		return []int64{most / 2, most / 4}
	}
	for pages := most / 2; pages > 32; pages /= 2 {
		all = append(all, pages)
	}
	for pages := min(most, 33) - 1; pages > 0; pages -= 3 {
		all = append(all, pages)
	}
	return all
}

// fault reports whether an error says that a module has failed.
func fault(err error) bool {
	for _, known := range []error{wasm.ErrFuel, wasm.ErrStack, wasm.ErrTrap, wasm.ErrDeadline, wasm.ErrOutput, wasm.ErrGuest} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// fuzzRounds is how often each golden batch is answered wrongly.
const fuzzRounds = 200

// lies changes what the module answers on the way to the host: bits, bytes, its end, its beginning. A host must
// refuse it and keep the batch as it was, or make a batch of it that is one; it must not panic, and the next call must
// be right.
func lies(t T, module sdk.Interceptor, unstable bool) {
	t.Helper()
	trouble := troubled(t, "the module", module)
	if trouble == nil {
		return
	}
	runner := chain.New(time.Now)
	dice := rand.New(rand.NewPCG(6, 2026)) // the same lies in each run
	for _, k := range learn(t, module, "one", "nulls", "headers", "many", "hostile") {
		for round := range fuzzRounds {
			trouble.Disturb(wasm.Disturbance{Answer: func(answer []byte) []byte { return lie(dice, answer) }})
			_, _, changed, err := k.show(t, module)
			if err != nil && (changed || !fault(err)) {
				t.Errorf("%s: an answer that was changed on its way, round %d, gave %v; the batch has changed: %t", k.Name, round, err, changed)
			}
			k.checkLie(t, runner, module, round)
		}
		trouble.Disturb(wasm.Disturbance{})
		k.again(t, module, "answers that were changed on their way", unstable)
	}
}

// checkLie has a host run a module whose answers are changed.
func (k *known) checkLie(t T, runner *chain.Runner, module sdk.Interceptor, round int) {
	t.Helper()
	in := chain.Input{Topic: "orders", Partition: 1, ClientID: "sdktest", Batch: bytes.Clone(k.Batch), Fetch: k.fetch}
	out, err := runner.Run([]chain.Plugin{{Name: "subject", Interceptor: module}}, &in)
	if err != nil {
		if _, refused := errors.AsType[*chain.Refusal](err); !refused {
			t.Errorf("%s: a host that gets a changed answer, round %d, says %v", k.Name, round, err)
		}
		return
	}
	whole := []batch.Batch{out.Batch}
	for i := range out.Aside {
		whole = append(whole, out.Aside[i].Batch)
	}
	for _, b := range whole {
		if err := b.Check(); err != nil {
			t.Errorf("%s: what a host makes of a changed answer, round %d, is no batch: %v", k.Name, round, err)
			continue
		}
		if b.Count() == 0 {
			continue
		}
		records, err := b.Records(nil, maxPlain)
		for err == nil && records.Next() {
			_ = records.Record()
		}
		if err := errors.Join(err, records.Err()); err != nil {
			t.Errorf("%s: the records that a host makes of a changed answer, round %d: %v", k.Name, round, err)
		}
	}
}

// lie is an answer that is not what the guest said.
func lie(dice *rand.Rand, answer []byte) []byte {
	p := bytes.Clone(answer)
	for range 1 + dice.IntN(4) {
		at := 0
		if len(p) > 0 {
			at = dice.IntN(len(p))
			if dice.IntN(2) == 0 {
				at = dice.IntN(min(len(p), 64)) // where numbers are
			}
		}
		switch dice.IntN(6) {
		case 0:
			p = p[:at]
		case 1:
			p = append(p, byte(dice.Uint32()), byte(dice.Uint32()), 0, 0)
		case 2:
			p = append(p[:at:at], p[min(at+1+dice.IntN(8), len(p)):]...)
		case 3:
			if len(p) > 0 {
				p[at] = byte(dice.Uint32())
			}
		case 4:
			if len(p)-at >= 4 {
				copy(p[at:], [][]byte{{0xff, 0xff, 0xff, 0xff}, {0xfe, 0xff, 0xff, 0xff}, {0, 0, 0, 0x80}, {0, 0, 0, 0}}[dice.IntN(4)])
			}
		default:
			if len(p) > 0 {
				p[at] ^= 1 << dice.IntN(8)
			}
		}
	}
	return p
}
