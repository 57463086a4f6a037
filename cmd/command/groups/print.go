package groups

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
)

// printer writes tables to out and remarks to err.
type printer struct{ out, err io.Writer }

// remark says what is unusual about a group's state, and reports whether there
// is something to list.
func (p printer) remark(group, state string, rows int) bool {
	switch state {
	case "Dead":
		fmt.Fprintf(p.out, "\nError: Consumer group '%s' does not exist.\n", group)
		return false
	case "Empty":
		fmt.Fprintf(p.err, "\nConsumer group '%s' has no active members.\n", group)
	case "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling":
		fmt.Fprintf(p.err, "\nWarning: Consumer group '%s' is rebalancing.\n", group)
	}
	return rows > 0
}

// offsets prints a line for each partition.
func (p printer) offsets(d description, rows []row, verbose bool) {
	if !p.remark(d.group, d.state, len(rows)) {
		return
	}
	group, topic, consumer, host := max(15, len(d.group)), 15, 15, 15
	for _, r := range rows {
		topic, consumer, host = max(topic, len(r.Topic)), max(consumer, len(r.consumer)), max(host, len(r.host))
	}
	line := func(g, t, partition, epoch, current, end, lag, c, h, client string) {
		fmt.Fprintf(p.out, "\n%-*s %-*s %-10s ", group, g, topic, t, partition)
		if verbose {
			fmt.Fprintf(p.out, "%-15s ", epoch)
		}
		fmt.Fprintf(p.out, "%-15s %-15s %-15s %-*s %-*s %s", current, end, lag, consumer, c, host, h, client)
	}
	line("GROUP", "TOPIC", "PARTITION", "LEADER-EPOCH", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID")
	for _, r := range rows {
		line(d.group, r.Topic, strconv.Itoa(int(r.Partition.Partition)), r.epoch, r.current, r.end, r.lag, r.consumer, r.host, r.client)
	}
	fmt.Fprintln(p.out)
}

// memberWidths are the widths of the columns of the table of members.
type memberWidths struct {
	group, consumer, instance, host, client, current, target int
	instances, mixed                                         bool // whether those columns are shown
}

func (d *description) widths(list bool) memberWidths {
	w := memberWidths{15, 15, 17, 15, 15, 20, 20, false, false}
	if !list {
		return w
	}
	var old, modern bool
	for _, m := range d.members {
		w.group, w.consumer, w.instance = max(w.group, len(d.group)), max(w.consumer, len(m.id)), max(w.instance, len(m.instance))
		w.host, w.client = max(w.host, len(m.host)), max(w.client, len(m.client))
		w.current, w.target = max(w.current, len(assignment(m.assigned))), max(w.target, len(assignment(m.target)))
		w.instances = w.instances || m.instance != ""
		if m.upgraded != nil {
			old, modern = old || !*m.upgraded, modern || *m.upgraded
		}
	}
	w.mixed = old && modern
	return w
}

// members prints a line for each member. The head is printed even when there are
// none: Kafka's tool does so.
func (p printer) members(d description, verbose bool) {
	w := d.widths(p.remark(d.group, d.state, len(d.members)))
	line := func(group, id, instance, host, client, count string, more ...string) {
		fmt.Fprintf(p.out, "%-*s %-*s ", w.group, group, w.consumer, id)
		if w.instances {
			fmt.Fprintf(p.out, "%-*s ", w.instance, instance)
		}
		fmt.Fprintf(p.out, "%-*s %-*s %-15s ", w.host, host, w.client, client, count)
		if verbose {
			fmt.Fprintf(p.out, "%-15s %-*s %-15s %-*s", more[0], w.current, more[1], more[2], w.target, more[3])
			if w.mixed {
				fmt.Fprintf(p.out, " %s", more[4])
			}
		}
		fmt.Fprintln(p.out)
	}
	fmt.Fprintln(p.out)
	line("GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS",
		"CURRENT-EPOCH", "CURRENT-ASSIGNMENT", "TARGET-EPOCH", "TARGET-ASSIGNMENT", "UPGRADED")
	for _, m := range d.members {
		line(d.group, m.id, m.instance, m.host, m.client, strconv.Itoa(len(m.assigned)),
			orMissing(m.epoch), assignment(m.assigned), orMissing(d.targetEpoch), assignment(m.target), orMissing(m.upgraded))
	}
}

// state prints a line for the group itself.
func (p printer) state(d description, verbose bool) {
	if !p.remark(d.group, d.state, 1) {
		return
	}
	group, coordinator := max(15, len(d.group)), max(25, len(d.coordinator))
	assignor := d.assignor
	if assignor == "" {
		assignor = missing
	}
	line := func(g, c, strategy, state, epoch, target, members string) {
		fmt.Fprintf(p.out, "\n%-*s %-*s %-20s %-20s ", group, g, coordinator, c, strategy, state)
		if verbose {
			fmt.Fprintf(p.out, "%-15s %-25s ", epoch, target)
		}
		fmt.Fprint(p.out, members)
	}
	line("GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH", "#MEMBERS")
	line(d.group, d.coordinator, assignor, d.state, orMissing(d.epoch), orMissing(d.targetEpoch), strconv.Itoa(len(d.members)))
	fmt.Fprintln(p.out)
}

func orMissing[T any](p *T) string {
	if p == nil {
		return missing
	}
	return fmt.Sprint(*p)
}

// assignment is topic:0,1;other:2.
func assignment(all []session.Partition) string {
	if len(all) == 0 {
		return missing
	}
	byTopic := map[string][]string{}
	for _, p := range all {
		byTopic[p.Topic] = append(byTopic[p.Topic], strconv.Itoa(int(p.Partition)))
	}
	var parts []string
	for _, topic := range slices.Sorted(maps.Keys(byTopic)) {
		parts = append(parts, topic+":"+strings.Join(byTopic[topic], ","))
	}
	slices.Sort(parts)
	return strings.Join(parts, ";")
}
