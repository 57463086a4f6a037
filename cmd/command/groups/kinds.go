package groups

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Kinds are the types that a group of any kind can have, in the words of the protocol.
var Kinds = []string{"Classic", "Consumer", "Share", "Streams"}

// KindOptions say which groups of all kinds to list.
type KindOptions struct {
	// Type and Protocol leave other groups out. "": any. HasProtocol tells the empty
	// protocol, which a group without members has, from none given.
	Type, Protocol string
	HasProtocol    bool
	// Consumer lists what is a consumer group in any sense: of type Consumer, or with
	// the protocol consumer, or with none because nobody has joined yet.
	Consumer bool
}

// ParseKind gives a type its proper case.
func ParseKind(name string) (string, error) {
	i := slices.IndexFunc(Kinds, func(kind string) bool { return strings.EqualFold(kind, name) })
	if i < 0 {
		return "", fmt.Errorf("group type %q: expected one of %s", name, strings.ToLower(strings.Join(Kinds, ", ")))
	}
	return Kinds[i], nil
}

func (o *KindOptions) wants(one kmsg.ListGroupsResponseGroup, kind string) bool {
	switch {
	case o.Type != "" && o.Type != kind, o.HasProtocol && o.Protocol != one.ProtocolType:
		return false
	case o.Consumer:
		return one.ProtocolType == "consumer" || one.ProtocolType == "" || kind == "Consumer"
	}
	return true
}

// ListKinds prints groups of every kind by name, with type and protocol.
func ListKinds(ctx context.Context, s *session.Session, o KindOptions) error {
	response, err := listGroups(ctx, s, nil)
	if err != nil {
		return err
	}
	slices.SortFunc(response.Groups, func(a, b kmsg.ListGroupsResponseGroup) int { return cmp.Compare(a.Group, b.Group) })
	width := 20
	var rows [][3]string
	for _, one := range response.Groups {
		kind := kindOf(one)
		if !o.wants(one, kind) {
			continue
		}
		width = max(width, len(one.Group), len(one.ProtocolType))
		rows = append(rows, [3]string{one.Group, kind, one.ProtocolType})
	}
	fmt.Fprintf(s.Out, "%-*s %-*s %-*s\n", width, "GROUP", width, "TYPE", width, "PROTOCOL")
	for _, row := range rows {
		for _, cell := range row {
			fmt.Fprintf(s.Out, "%-*s ", width, cell)
		}
		fmt.Fprintln(s.Out)
	}
	return nil
}
