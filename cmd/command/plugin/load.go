package plugin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/cmd/command/table"
	"github.com/millrace/millrace/loadgen/metrics"
	"github.com/millrace/millrace/sdk/chain"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The settings of a broker and of topics that say which plugins there are.
const (
	settingPlugins = "plugins"
	settingFolder  = "plugin.dir"
	settingProduce = "interceptors.produce"
	settingFetch   = "interceptors.fetch"
	settingAdmin   = "admin.listener"
)

// Load is a module to be loaded into the brokers of a cluster.
type Load struct {
	Name, File string
	Pinned     string            // SHA-256 that the file must have; "": any
	Settings   map[string]string // of the plugin, without its name before them
	Topics     []string
	Fetch      bool // topics get it on fetch, instead of produce
	// Again keeps the settings that the plugin has, and changes the file.
	Again bool
	// Copied says that the file lies in plugin.dir of each broker already.
	Copied bool
}

// loadable are names that brokers take: they are parts of the names of settings, and of files.
var loadable = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Run loads it: the file goes to plugin.dir, the settings to the cluster.
func (l *Load) Run(ctx context.Context, s *session.Session) error {
	if !loadable.MatchString(l.Name) {
		return fmt.Errorf("%q is no name for a plugin: use letters, digits, - and _", l.Name)
	}
	has, err := settingsOf(ctx, s)
	if err != nil {
		return err
	}
	prefix := "plugin." + l.Name + "."
	if l.Again && has.all[prefix+"type"] != "wasm" {
		return fmt.Errorf("there is no WebAssembly plugin %s to reload (there are: %s): use `millrace plugin load`", l.Name, strings.Join(has.plugins(), ", "))
	}
	if err := l.topics(ctx, s); err != nil {
		return err
	}
	if err := has.locate(ctx, s); err != nil && !l.Copied {
		return err
	}
	done := s.Waiting("looking at " + filepath.Base(l.File))
	path, sum, err := l.check(has, prefix)
	done()
	if err != nil {
		return err
	}
	wanted := maps.Clone(l.Settings)
	wanted["type"], wanted["path"], wanted["sha256"] = "wasm", path, sum
	var changes []change
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		changes = append(changes, change{prefix + key, wanted[key], kmsg.IncrementalAlterConfigOpSet})
	}
	for key := range has.below(prefix) {
		if _, stays := wanted[key]; !stays && !l.Again {
			changes = append(changes, change{prefix + key, "", kmsg.IncrementalAlterConfigOpDelete})
		}
	}
	known := slices.Contains(has.plugins(), l.Name)
	if !known {
		changes = append(changes, change{settingPlugins, l.Name, kmsg.IncrementalAlterConfigOpAppend})
	}
	if err := alter(ctx, s, kmsg.ConfigResourceTypeBroker, "", changes); err != nil {
		return l.notLoaded(err, has.folder(), path)
	}
	if known {
		if err := l.stayed(ctx, s); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.Out, "Loaded plugin %s: %s, sha256 %s.\n", l.Name, path, sum)
	for i, topic := range l.Topics {
		if err := use(ctx, s, topic, l.Name, l.Fetch, true); err != nil {
			return l.half(i, err)
		}
	}
	return nil
}

// stayed looks whether a plugin that was there when its settings were read is there still: it is not named
// again in a change of them, for that would have all others that are broken tried too.
func (l *Load) stayed(ctx context.Context, s *session.Session) error {
	has, err := settingsOf(ctx, s)
	if err == nil && !slices.Contains(has.plugins(), l.Name) {
		err = fmt.Errorf("somebody unloaded plugin %s meanwhile, with its settings: `millrace plugin load` loads it anew", l.Name)
	}
	return err
}

// notLoaded says what is known when settings could not be changed.
func (l *Load) notLoaded(err error, folder, path string) error {
	if errors.Is(err, errUnanswered) {
		return fmt.Errorf("load plugin %s: %w\nNobody knows whether the broker has it: `millrace plugin list` tells, once it answers. The module lies in %s as %s", l.Name, err, folder, path)
	}
	return fmt.Errorf("load plugin %s: %w\nNo setting was changed. The module lies in %s as %s, unused", l.Name, err, folder, path)
}

// topics makes sure that the topics are there, and may be looked at, before anything is
// changed.
func (l *Load) topics(ctx context.Context, s *session.Session) error {
	for _, topic := range l.Topics {
		_, _, err := describe(ctx, s, kmsg.ConfigResourceTypeTopic, topic)
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			return fmt.Errorf("topic %s is not there: `millrace topics create %s` makes it. Nothing was changed", topic, topic)
		case err != nil:
			return fmt.Errorf("topic %s: %w\nNothing was changed", topic, err)
		}
	}
	return nil
}

// half says what is and what is not, when a topic could not be told after the plugin was
// loaded, and how to go on or back.
func (l *Load) half(told int, err error) error {
	uses, fetch := "none", ""
	back := "millrace plugin unload " + l.Name
	if told > 0 {
		uses = strings.Join(l.Topics[:told], ", ")
		back += " --topic " + strings.Join(l.Topics[:told], " --topic ") + " && " + back
	}
	if l.Fetch {
		fetch = " --fetch"
	}
	return fmt.Errorf("%w\nThe plugin %s is loaded. Of the topics that were named these use it now: %s; these do not: %s.\n"+
		"To go on, once that is mended: millrace plugin reload %s %s --topic %s%s\nTo go back: %s",
		err, l.Name, uses, strings.Join(l.Topics[told:], ", "), l.Name, l.File, strings.Join(l.Topics[told:], " --topic "), fetch, back)
}

// check looks whether the file would work with the settings that the plugin will have, and
// brings it where brokers find it.
func (l *Load) check(has brokerSettings, prefix string) (path, sum string, err error) {
	if l.Copied {
		if l.Pinned == "" {
			return "", "", errors.New("--copied needs --sha256: what is not here cannot be looked at")
		}
		return filepath.Base(l.File), l.Pinned, nil
	}
	settings := maps.Clone(l.Settings)
	if l.Again {
		for key, value := range has.below(prefix) {
			if _, given := settings[key]; given || key == "path" || key == "sha256" {
				continue
			}
			if has.hidden[prefix+key] {
				return "", "", fmt.Errorf("%s%s is secret, and brokers do not tell it: say it again with --config %s=…, so that the new module can be tried with it",
					prefix, key, strings.TrimPrefix(key, "config."))
			}
			settings[key] = value
		}
	}
	info, err := Verify(nil, l.File, l.Pinned, hostless(settings))
	if err != nil {
		return "", "", err
	}
	if !info.Produce && !info.Fetch {
		return "", "", fmt.Errorf("%s is a %s, which brokers do not run: name it in the settings of clients (docs/wasm.md)", l.File, strings.Join(info.Kinds, " and "))
	}
	path, err = l.place(has.folder(), info.SHA256)
	return path, info.SHA256, err
}

// hostless are the settings that the plugin itself reads.
func hostless(settings map[string]string) map[string]string {
	own := maps.Clone(settings)
	maps.DeleteFunc(own, func(key, _ string) bool { return chain.OfHost(key) })
	return own
}

// place copies the file to the folder of the brokers, when that is on this machine.
func (l *Load) place(folder, sum string) (string, error) {
	name := fmt.Sprintf("%s-%.12s.wasm", l.Name, sum)
	if absolute, err := filepath.Abs(l.File); err == nil && filepath.Dir(absolute) == filepath.Clean(folder) {
		return filepath.Base(absolute), nil
	}
	if err := copyTo(l.File, folder, name); err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return "", fmt.Errorf("%w\nModules lie in %s of the broker's machine. Copy the file there, as %s, and load that name with --copied:\n  scp %s broker:%s\n  millrace plugin load %s %s --copied --sha256 %s",
				err, folder, name, l.File, filepath.Join(folder, name), l.Name, name, sum)
		}
		return "", err
	}
	return name, nil
}

// copyTo copies a file whole or not at all.
func copyTo(file, folder, name string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the module: %w", err)
	}
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("copy the module to the broker: %w", err)
	}
	aside, err := os.CreateTemp(folder, ".loading-*")
	if err != nil {
		return fmt.Errorf("copy the module to the broker: %w", err)
	}
	_, err = aside.Write(text)
	err = errors.Join(err, aside.Chmod(0o644), aside.Close())
	if err == nil {
		err = os.Rename(aside.Name(), filepath.Join(folder, name))
	}
	if err != nil {
		_ = os.Remove(aside.Name())
		return fmt.Errorf("copy the module to the broker: %w", err)
	}
	return nil
}

// Unload takes a plugin from topics, or with none of them from the cluster.
func Unload(ctx context.Context, s *session.Session, name string, topics []string) error {
	has, err := settingsOf(ctx, s)
	if err != nil {
		return err
	}
	for _, topic := range topics {
		for _, fetch := range []bool{false, true} {
			if err := use(ctx, s, topic, name, fetch, false); err != nil {
				return err
			}
		}
	}
	if len(topics) > 0 {
		return nil
	}
	if names := has.plugins(); !slices.Contains(names, name) {
		return fmt.Errorf("there is no plugin %s (there are: %s)", name, strings.Join(names, ", "))
	}
	changes := []change{{settingPlugins, name, kmsg.IncrementalAlterConfigOpSubtract}}
	for key := range has.below("plugin." + name + ".") {
		changes = append(changes, change{"plugin." + name + "." + key, "", kmsg.IncrementalAlterConfigOpDelete})
	}
	if err := alter(ctx, s, kmsg.ConfigResourceTypeBroker, "", changes); err != nil {
		return fmt.Errorf("unload plugin %s: %w", name, err)
	}
	fmt.Fprintf(s.Out, "Unloaded plugin %s.\n", name)
	return nil
}

// List prints the plugins of a cluster, the topics that use them, and what they did in the
// broker whose admin.listener is at admin; "": at the address that its settings name.
func List(ctx context.Context, s *session.Session, admin string) error {
	has, err := settingsOf(ctx, s)
	if err != nil {
		return err
	}
	users, err := topicsByPlugin(ctx, s)
	if err != nil {
		return err
	}
	work, err := workOf(ctx, has, admin)
	if err != nil && admin != "" {
		return err // who named it wants to know
	}
	var rows [][]string
	for _, name := range has.plugins() {
		own := has.below("plugin." + name + ".")
		kind, policy := own["type"], own["on.error"]
		if kind == "" {
			kind = name
		}
		if policy == "" {
			policy = "fail"
		}
		row := []string{name, kind, own["path"], fmt.Sprintf("%.12s", own["sha256"]), policy, strings.Join(users[name], ",")}
		rows = append(rows, append(row, work.cells(name)...))
	}
	table.Print(s.Out, []string{"Plugin", "Type", "File", "Sha256", "On error", "Topics", "Records", "Faults", "Over budget", "Fuel", "State"}, rows)
	if work != nil {
		for _, t := range work.troubles {
			fmt.Fprintf(s.Out, "Plugin %s %s.\n", t.Plugin, t)
		}
	}
	return nil
}

// counters are the metrics of a broker that count what plugins did, in the order of columns.
var counters = []string{"millrace_plugin_records_in_total", "millrace_plugin_faults_total", "millrace_plugin_batches_spent_total", "millrace_plugin_fuel_total"}

// work is what plugins have done since the broker started, by name, and those that it does not call; nil
// when no broker told.
type work struct {
	done     map[string][]float64
	troubles []Trouble
}

// workOf asks a broker for its metrics.
func workOf(ctx context.Context, has brokerSettings, admin string) (*work, error) {
	if admin == "" {
		admin = has.all[settingAdmin]
	}
	if admin == "" {
		return nil, nil
	}
	families, err := metrics.Of(ctx, admin)
	if err != nil {
		return nil, fmt.Errorf("what plugins did: http://%s/metrics: %w; --admin is the broker's admin.listener", admin, err)
	}
	w := &work{done: map[string][]float64{}, troubles: Troubles(families)}
	for _, name := range has.plugins() {
		w.done[name] = make([]float64, len(counters))
	}
	for i, counter := range counters {
		for _, m := range families[counter].GetMetric() {
			if of := w.done[metrics.Label(m, "plugin")]; of != nil {
				of[i] += m.GetCounter().GetValue()
			}
		}
	}
	return w, nil
}

// cells are what one plugin did, for a table, and its state.
func (w *work) cells(plugin string) []string {
	cells := slices.Repeat([]string{"-"}, len(counters)+1)
	if w == nil {
		return cells
	}
	for i := range counters {
		cells[i] = fmt.Sprintf("%.0f", w.done[plugin][i])
	}
	one := Trouble{}
	if at := slices.IndexFunc(w.troubles, func(t Trouble) bool { return t.Plugin == plugin }); at >= 0 {
		one = w.troubles[at]
	}
	cells[len(counters)] = one.State()
	return cells
}

// use adds a plugin to the list of a topic, or takes it off. The broker does that to the list as it is then,
// so that of several who change it at a time nobody undoes what another did.
func use(ctx context.Context, s *session.Session, topic, name string, fetch, with bool) error {
	setting, operation := settingProduce, kmsg.IncrementalAlterConfigOpSubtract
	if fetch {
		setting = settingFetch
	}
	if with {
		operation = kmsg.IncrementalAlterConfigOpAppend
	}
	values, _, err := describe(ctx, s, kmsg.ConfigResourceTypeTopic, topic)
	if err != nil {
		return fmt.Errorf("topic %s: %w", topic, err)
	}
	if with == slices.Contains(list(values[setting]), name) {
		return nil
	}
	if err := alter(ctx, s, kmsg.ConfigResourceTypeTopic, topic, []change{{setting, name, operation}}); err != nil {
		return fmt.Errorf("topic %s: %w", topic, err)
	}
	if values, _, err = describe(ctx, s, kmsg.ConfigResourceTypeTopic, topic); err != nil {
		return fmt.Errorf("topic %s was changed, and cannot be looked at any more: %w", topic, err)
	}
	fmt.Fprintf(s.Out, "Topic %s: %s=%s\n", topic, setting, values[setting])
	return nil
}

// topicsByPlugin are the topics whose lists name each plugin.
func topicsByPlugin(ctx context.Context, s *session.Session) (map[string][]string, error) {
	topics, err := s.Topics(ctx)
	if err != nil {
		return nil, err
	}
	users := make(map[string][]string)
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		if topics[topic].Internal {
			continue
		}
		values, _, err := describe(ctx, s, kmsg.ConfigResourceTypeTopic, topic)
		if err != nil {
			return nil, fmt.Errorf("topic %s: %w", topic, err)
		}
		for _, name := range append(list(values[settingProduce]), list(values[settingFetch])...) {
			if !slices.Contains(users[name], topic) {
				users[name] = append(users[name], topic)
			}
		}
	}
	return users, nil
}

// brokerSettings are those of a broker, as they are now.
type brokerSettings struct {
	all    map[string]string
	hidden map[string]bool // there, but not told
}

func settingsOf(ctx context.Context, s *session.Session) (brokerSettings, error) {
	brokers, err := s.Admin.ListBrokers(ctx)
	if err != nil {
		return brokerSettings{}, fmt.Errorf("list brokers: %w", err)
	}
	if len(brokers) == 0 {
		return brokerSettings{}, errors.New("the cluster has no brokers")
	}
	all, hidden, err := describe(ctx, s, kmsg.ConfigResourceTypeBroker, fmt.Sprint(brokers[0].NodeID))
	return brokerSettings{all, hidden}, err
}

// folder is where the files of plugins lie on the broker's machine.
func (b brokerSettings) folder() string {
	if folder := b.all[settingFolder]; folder != "" {
		return folder
	}
	return filepath.Join(b.data(), "plugins")
}

// data is the first folder of the broker's data.
func (b brokerSettings) data() string {
	first, _, _ := strings.Cut(cmp.Or(b.all["log.dirs"], b.all["log.dir"]), ",")
	return strings.TrimSpace(first)
}

// locate makes folder absolute when the settings have it relative to where the broker was
// started, as the default is: the broker tells where that is when its data is there, too.
func (b brokerSettings) locate(ctx context.Context, s *session.Session) error {
	folder, data := b.folder(), filepath.Clean(b.data())
	if filepath.IsAbs(folder) {
		return nil
	}
	if !filepath.IsAbs(data) {
		brokers, err := s.Admin.DescribeAllLogDirs(ctx, nil)
		if err != nil {
			return fmt.Errorf("find the broker's plugin.dir: %w", err)
		}
		for _, folders := range brokers {
			for told := range folders {
				if started, below := strings.CutSuffix(told, string(filepath.Separator)+data); below {
					b.all[settingFolder] = filepath.Join(started, string(filepath.Separator), folder)
					return nil
				}
			}
		}
	}
	return fmt.Errorf("find the broker's plugin.dir: it is %s below the folder in which the broker was started, and it does not tell which that is: give it a plugin.dir that is absolute, or copy the file there and use --copied", folder)
}

func (b brokerSettings) plugins() []string { return list(b.all[settingPlugins]) }

// below are the settings that begin with prefix, without it.
func (b brokerSettings) below(prefix string) map[string]string {
	below := make(map[string]string)
	for name, value := range b.all {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			below[rest] = value
		}
	}
	return below
}

func list(text string) []string {
	var names []string
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// describe is the settings of a resource, and which of them are there but not told.
func describe(ctx context.Context, s *session.Session, kind kmsg.ConfigResourceType, name string) (values map[string]string, hidden map[string]bool, err error) {
	request := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kind, name
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, s.Client)
	if err != nil {
		return nil, nil, fmt.Errorf("describe settings: %w", err)
	}
	values, hidden = make(map[string]string), make(map[string]bool)
	for _, answer := range response.Resources {
		if err := session.Refused(kerr.ErrorForCode(answer.ErrorCode), textOf(answer.ErrorMessage)); err != nil {
			return nil, nil, err
		}
		for _, one := range answer.Configs {
			values[one.Name] = textOf(one.Value)
			if one.IsSensitive && one.Value == nil {
				hidden[one.Name] = true
			}
		}
	}
	return values, hidden, nil
}

func textOf(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// change is one setting to be changed.
type change struct {
	name, value string
	operation   kmsg.IncrementalAlterConfigOp
}

// errUnanswered is of a change that was sent and not answered: it may be made all the same, for a broker
// compiles a module for as long as that takes.
var errUnanswered = errors.New("the broker did not answer")

// alter changes settings of a resource, all of them or none.
func alter(ctx context.Context, s *session.Session, kind kmsg.ConfigResourceType, name string, changes []change) error {
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kind, name
	for _, c := range changes {
		one := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		one.Name, one.Op = c.name, c.operation
		if c.operation != kmsg.IncrementalAlterConfigOpDelete {
			one.Value = kmsg.StringPtr(c.value)
		}
		resource.Configs = append(resource.Configs, one)
	}
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(ctx, s.Client)
	if err != nil {
		return fmt.Errorf("alter settings: %w: %w", errUnanswered, err)
	}
	for _, answer := range response.Resources {
		if err := session.Refused(kerr.ErrorForCode(answer.ErrorCode), textOf(answer.ErrorMessage)); err != nil {
			return err
		}
	}
	return nil
}
