package acl

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/millrace/millrace/sdk"
)

// Picture is all bindings at one moment, as they are looked up. It is immutable; the zero
// value has none.
type Picture struct {
	sections [sdk.ResourceUser + 1]section
}

// section has the bindings about resources of one type.
type section struct {
	literal  map[string]*rules // by the name
	prefixed map[string]*rules // by the prefix
	lengths  []int             // of all prefixes, ascending
	allowed  [2]allowances     // of literal and of prefixed
}

// allowances are the patterns by which a principal is allowed something, wherever it comes from.
type allowances map[sdk.Principal]map[string]*rules

// rules are the bindings of one pattern.
type rules struct {
	bindings map[Binding]bool
	grants   map[sdk.Principal]*grant
}

// grant is what one principal is allowed and denied.
type grant struct {
	anywhere mask
	hosts    map[netip.Addr]mask // beside that
}

// mask has a bit for each operation, at its code.
type mask struct{ allow, deny uint32 }

func (m *mask) add(o mask) {
	m.allow |= o.allow
	m.deny |= o.deny
}

func bit(op sdk.Operation) uint32 { return 1 << uint8(op) }

// maskOf is what a binding alone says.
func maskOf(b *Binding) mask {
	bits := bit(b.Operation)
	if b.Operation == sdk.OperationAll {
		bits = ^uint32(0)
	}
	if b.Permission == Deny {
		return mask{deny: bits}
	}
	switch b.Operation {
	case sdk.OperationRead, sdk.OperationWrite, sdk.OperationDelete, sdk.OperationAlter:
		bits |= bit(sdk.OperationDescribe)
	case sdk.OperationAlterConfigs:
		bits |= bit(sdk.OperationDescribeConfigs)
	}
	return mask{allow: bits}
}

// compile makes rules of the bindings of one pattern.
func compile(bindings map[Binding]bool) *rules {
	r := &rules{bindings: bindings, grants: map[sdk.Principal]*grant{}}
	for b := range bindings {
		who, err := sdk.ParsePrincipal(b.Principal)
		if err != nil {
			continue // about nobody: no type is empty
		}
		g := r.grants[who]
		if g == nil {
			g = &grant{}
			r.grants[who] = g
		}
		g.add(&b)
	}
	return r
}

// add takes a binding over. One about a host that is no address is about nobody.
func (g *grant) add(b *Binding) {
	if b.Host == Wildcard {
		g.anywhere.add(maskOf(b))
		return
	}
	host, err := netip.ParseAddr(b.Host)
	if err != nil {
		return
	}
	if g.hosts == nil {
		g.hosts = map[netip.Addr]mask{}
	}
	m := g.hosts[host.Unmap()]
	m.add(maskOf(b))
	g.hosts[host.Unmap()] = m
}

// of is what r says of somebody. A nil r says nothing.
func (r *rules) of(who *sdk.Requester) (m mask) {
	if r == nil {
		return m
	}
	m.add(r.grants[who.Principal].of(who.Host))
	m.add(r.grants[Everybody].of(who.Host))
	return m
}

func (g *grant) of(host netip.Addr) (m mask) {
	if g == nil {
		return m
	}
	m = g.anywhere
	if len(g.hosts) > 0 {
		m.add(g.hosts[host])
	}
	return m
}

// of is what all bindings say of somebody and a resource. Some tells whether any is about
// the resource, whoever asks.
func (p *Picture) of(who *sdk.Requester, t sdk.ResourceType, name string) (m mask, some bool) {
	if t < 0 || int(t) >= len(p.sections) {
		return m, false
	}
	s := &p.sections[t]
	for _, r := range [...]*rules{s.literal[name], s.literal[Wildcard]} {
		m.add(r.of(who))
		some = some || r != nil
	}
	for _, n := range s.lengths {
		if n > len(name) {
			break
		}
		if r := s.prefixed[name[:n]]; r != nil {
			m.add(r.of(who))
			some = true
		}
	}
	return m, some
}

// anywhere reports whether somebody may do an operation with any resource of the type: some
// binding allows it, and none denies all of what that one is about.
func (p *Picture) anywhere(who *sdk.Requester, op sdk.Operation, t sdk.ResourceType) bool {
	if t < 0 || int(t) >= len(p.sections) {
		return false
	}
	s, bits := &p.sections[t], bit(op)
	switch all := s.literal[Wildcard].of(who); {
	case all.deny&bits != 0:
		return false
	case all.allow&bits != 0:
		return true
	}
	for _, principal := range [...]sdk.Principal{who.Principal, Everybody} {
		for name, r := range s.allowed[0][principal] {
			if m := r.of(who); m.allow&bits != 0 && m.deny&bits == 0 && !s.deniesPrefix(who, bits, name) {
				return true
			}
		}
		for prefix, r := range s.allowed[1][principal] {
			if r.of(who).allow&bits != 0 && !s.deniesPrefix(who, bits, prefix) {
				return true
			}
		}
	}
	return false
}

// deniesPrefix reports whether a prefix that name has, or is, is denied.
func (s *section) deniesPrefix(who *sdk.Requester, bits uint32, name string) bool {
	for _, n := range s.lengths {
		if n > len(name) {
			break
		}
		if s.prefixed[name[:n]].of(who).deny&bits != 0 {
			return true
		}
	}
	return false
}

// With is the picture after some bindings came and others went. P stays as it is.
func (p *Picture) With(added, removed []Binding) *Picture {
	e := edit{next: *p, touched: map[place]map[Binding]bool{}, own: map[allowance]bool{}}
	for _, b := range removed {
		delete(e.bindings(placeOf(&b)), b)
	}
	for _, b := range added {
		e.bindings(placeOf(&b))[b] = true
	}
	return e.finish()
}

// place is where the bindings of one pattern are.
type place struct {
	t       sdk.ResourceType
	pattern Pattern
	name    string
}

func placeOf(b *Binding) place { return place{b.Resource, b.Pattern, b.Name} }

// edit makes the next picture. Ownership: what is in touched is its own; sections are the
// old picture's until finish.
type edit struct {
	next    Picture
	touched map[place]map[Binding]bool
	own     map[allowance]bool // what is the edit's own of the index
}

// allowance is whose patterns are in one part of the index.
type allowance struct {
	of  *allowances
	who sdk.Principal
}

// bindings are those of a place, for the edit to change.
func (e *edit) bindings(at place) map[Binding]bool {
	if own, ok := e.touched[at]; ok {
		return own
	}
	own := map[Binding]bool{}
	if r := (*e.next.sections[at.t].table(at.pattern))[at.name]; r != nil {
		maps.Copy(own, r.bindings)
	}
	e.touched[at] = own
	return own
}

func (s *section) table(pattern Pattern) *map[string]*rules {
	if pattern == Prefixed {
		return &s.prefixed
	}
	return &s.literal
}

func (s *section) index(pattern Pattern) *allowances {
	if pattern == Prefixed {
		return &s.allowed[1]
	}
	return &s.allowed[0]
}

// allowed lists those whom r allows something. A nil r allows nobody.
func (r *rules) allowed() (all []sdk.Principal) {
	if r == nil {
		return nil
	}
	for who, g := range r.grants {
		allow := g.anywhere.allow
		for _, m := range g.hosts {
			allow |= m.allow
		}
		if allow != 0 {
			all = append(all, who)
		}
	}
	return all
}

// reindex notes whom a pattern allows something now, in an index that is the edit's own but for
// what it has of principals.
func (e *edit) reindex(index *allowances, name string, old, now *rules) {
	for _, who := range old.allowed() {
		patterns := e.patterns(index, who)
		if delete(patterns, name); len(patterns) == 0 {
			delete(*index, who)
		}
	}
	for _, who := range now.allowed() {
		e.patterns(index, who)[name] = now
	}
}

// patterns are those of a principal, for the edit to change.
func (e *edit) patterns(index *allowances, who sdk.Principal) map[string]*rules {
	at, patterns := allowance{index, who}, (*index)[who]
	if patterns == nil || !e.own[at] {
		if patterns = maps.Clone(patterns); patterns == nil {
			patterns = map[string]*rules{}
		}
		e.own[at], (*index)[who] = true, patterns
	}
	return patterns
}

func (e *edit) finish() *Picture {
	type whole struct {
		t       sdk.ResourceType
		pattern Pattern
	}
	fresh := map[whole]bool{}
	for at, bindings := range e.touched {
		s := &e.next.sections[at.t]
		table, index := s.table(at.pattern), s.index(at.pattern)
		if w := (whole{at.t, at.pattern}); !fresh[w] {
			fresh[w] = true
			if *table = maps.Clone(*table); *table == nil {
				*table = map[string]*rules{}
			}
			if *index = maps.Clone(*index); *index == nil {
				*index = allowances{}
			}
		}
		old := (*table)[at.name]
		var now *rules
		if len(bindings) == 0 {
			delete(*table, at.name)
		} else {
			now = compile(bindings)
			(*table)[at.name] = now
		}
		e.reindex(index, at.name, old, now)
	}
	for w := range fresh {
		if w.pattern == Prefixed {
			e.next.sections[w.t].measure()
		}
	}
	e.touched, e.own = nil, nil // they would live as long as the picture
	return &e.next
}

// measure notes which lengths prefixes have.
func (s *section) measure() {
	lengths := map[int]bool{}
	for prefix := range s.prefixed {
		lengths[len(prefix)] = true
	}
	s.lengths = slices.Sorted(maps.Keys(lengths))
}
