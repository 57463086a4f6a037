package wasm

import "time"

// Disturbance is what a test does to calls of a module. The conformance suite (sdk/sdktest) has an
// author's module cut off in the middle of its work, and changes what it answered on the way to the
// host; no broker and no client has a use for it.
type Disturbance struct {
	// Fuel is all that a call may cost, instead of what the settings say. Zero: what they say.
	Fuel int64
	// Late is set when the deadline of a call is over as soon as anybody looks.
	Late bool
	// Answer makes of an answer what the host gets to read, in memory of its own. Nil: the answer.
	Answer func(answer []byte) []byte
}

// undisturbed are the limits of settings while there is a Disturbance.
type undisturbed struct {
	fuel, perKiB int64
	deadline     time.Duration
}

// Disturb disturbs calls from now on; the zero value ends that. No call may be under way.
func (p *Plugin) Disturb(d Disturbance) { p.s.disturb(d) }

// Disturb is that of Plugin, for the kinds that run in clients.
func (p *pool) Disturb(d Disturbance) { p.s.disturb(d) }

func (s *settings) disturb(d Disturbance) {
	if s.calm == nil {
		s.calm = &undisturbed{s.fuel, s.perKiB, s.deadline}
	}
	s.fuel, s.perKiB, s.deadline, s.answer = s.calm.fuel, s.calm.perKiB, s.calm.deadline, d.Answer
	if d.Fuel > 0 {
		s.fuel, s.perKiB = d.Fuel, 0
	}
	if d.Late {
		s.deadline = -1
	}
}
