package cluster

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace/millrace/engine/security/acl"
)

// CreateACLs adds bindings. What is there already is as good as added. There is a refusal,
// or nil, for each.
func CreateACLs(i *Image, bindings []acl.Binding) (records []Record, refusals []*Refusal) {
	added := map[acl.Binding]bool{}
	refusals = make([]*Refusal, len(bindings))
	for n, b := range bindings {
		if err := b.Check(); err != nil {
			refusals[n] = &Refusal{Code: kerr.InvalidRequest, Message: err.Error()}
			continue
		}
		if !added[b] && !i.acls.lookup(spreadACL(&b), b) {
			added[b] = true
			records = append(records, &ACLRecord{b})
		}
	}
	return records, refusals
}

// DeletedACLs is what became of one filter.
type DeletedACLs struct {
	Bindings []acl.Binding
	Refusal  *Refusal
}

// DeleteACLs removes the bindings that filters find. One that several find is told to each.
func DeleteACLs(i *Image, filters []acl.Filter) (records []Record, answers []DeletedACLs) {
	gone := map[acl.Binding]bool{}
	answers = make([]DeletedACLs, len(filters))
	for n := range filters {
		if err := filters[n].Check(); err != nil {
			answers[n].Refusal = &Refusal{Code: kerr.InvalidRequest, Message: err.Error()}
			continue
		}
		answers[n].Bindings = i.FindACLs(&filters[n])
		for _, b := range answers[n].Bindings {
			if !gone[b] {
				gone[b] = true
				records = append(records, &RemoveACLRecord{b})
			}
		}
	}
	return records, answers
}
