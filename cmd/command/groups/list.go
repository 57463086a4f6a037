package groups

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ListOptions say which groups to list and with which columns.
type ListOptions struct {
	// ShowStates and ShowTypes add columns; States and Types are lists separated
	// by commas of those to show. "": all.
	ShowStates, ShowTypes bool
	States, Types         string
}

// listing is one row of the list.
type listing struct{ group, kind, state string }

// States are those that a consumer group can be in.
var States = []string{"PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty", "Assigning", "Reconciling"}

// Types are the protocols that a consumer group can use.
var Types = []string{"Classic", "Consumer"}

// List prints the consumer groups, by name.
func List(ctx context.Context, s *session.Session, o ListOptions) error {
	states, err := words(o.States, States, "Invalid state list '%s'. Valid states are: %s")
	if err != nil {
		return err
	}
	types, err := words(o.Types, Types, "Invalid types list '%s'. Valid types are: %s")
	if err != nil {
		return err
	}
	all, err := list(ctx, s, states, types)
	if err != nil {
		return err
	}
	if !o.ShowStates && !o.ShowTypes {
		for _, one := range all {
			fmt.Fprintln(s.Out, one.group)
		}
		return nil
	}
	printList(s.Out, all, o)
	return nil
}

// words reads a list separated by commas and gives each word its proper case.
func words(list string, valid []string, complaint string) ([]string, error) {
	var found []string
	for word := range strings.SplitSeq(list, ",") {
		if list == "" {
			break
		}
		i := slices.IndexFunc(valid, func(v string) bool {
			return strings.EqualFold(v, strings.ReplaceAll(strings.TrimSpace(word), "_", ""))
		})
		if i < 0 {
			return nil, &session.Misuse{Text: fmt.Sprintf(complaint, list, strings.Join(valid, ", "))}
		}
		found = append(found, valid[i])
	}
	return found, nil
}

// Names are the names of all consumer groups, in order.
func Names(ctx context.Context, s *session.Session) ([]string, error) {
	all, err := list(ctx, s, nil, nil)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = one.group
	}
	return names, nil
}

// listGroups asks every broker for its groups.
func listGroups(ctx context.Context, s *session.Session, states []string) (*kmsg.ListGroupsResponse, error) {
	request := kmsg.NewPtrListGroupsRequest()
	request.StatesFilter = states
	response, err := request.RequestWith(ctx, s.Client)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	return response, nil
}

// kindOf is the type of a group. Brokers that do not tell have no other than classic ones.
func kindOf(one kmsg.ListGroupsResponseGroup) string {
	if one.GroupType == "" {
		return "Classic"
	}
	return strings.ToUpper(one.GroupType[:1]) + one.GroupType[1:]
}

// list asks for consumer groups. Groups of other protocols (connect, share) are left out.
func list(ctx context.Context, s *session.Session, states, types []string) ([]listing, error) {
	response, err := listGroups(ctx, s, states)
	if err != nil {
		return nil, err
	}
	var all []listing
	for _, one := range response.Groups {
		kind := kindOf(one)
		switch {
		case one.ProtocolType != "" && one.ProtocolType != "consumer", !slices.Contains(Types, kind):
		case len(types) > 0 && !slices.Contains(types, kind):
		case len(states) > 0 && !slices.Contains(states, one.GroupState): // a broker too old to filter
		default:
			all = append(all, listing{one.Group, kind, one.GroupState})
		}
	}
	slices.SortFunc(all, func(a, b listing) int { return strings.Compare(a.group, b.group) })
	return all, nil
}

func printList(w io.Writer, all []listing, o ListOptions) {
	width := 15
	for _, one := range all {
		width = max(width, len(one.group))
	}
	row := func(group, kind, state string) {
		fmt.Fprintf(w, "%-*s", width+10, group)
		if o.ShowTypes {
			fmt.Fprintf(w, " %-20s", kind)
		}
		if o.ShowStates {
			fmt.Fprintf(w, " %-20s", state)
		}
		fmt.Fprintln(w)
	}
	row("GROUP", "TYPE", "STATE")
	for _, one := range all {
		row(one.group, one.kind, one.state)
	}
}
