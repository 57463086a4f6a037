package intercept

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/chain"
)

// confined are the plugins that open files which their settings name, and keyDir where they
// are told that those lie.
var confined = map[string]bool{"wasm": true, "json-schema": true, "audit-log": true}

const keyDir = "dir"

// faultBudget is what calls of a plugin that fail may take of each second, unless settings say
// otherwise: one per cent of the time, so that of a hundred batches of others one at most comes
// behind such a call.
const faultBudget = 10 * time.Millisecond

// plugin is one plugin as its settings want it, with an instance for each place.
type plugin struct {
	name      string
	texts     map[string]string // its settings, without "plugin.<name>."
	instances []sdk.Interceptor
	rules     chain.Plugin // of all instances
	failed    error        // why there are none
	accepted  bool         // a change that wants it will not be refused
}

// textsOf are the settings of one plugin among all of them.
func textsOf(name string, all map[string]string) map[string]string {
	texts := map[string]string{}
	for key, text := range all {
		if rest, ok := strings.CutPrefix(key, "plugin."+name+"."); ok {
			texts[rest] = text
		}
	}
	return texts
}

// makePlugin makes a plugin with so many instances. What cannot be made has failed.
func makePlugin(name string, texts map[string]string, dir string, places int) *plugin {
	p := &plugin{name: name, texts: texts}
	if p.failed = p.make(dir, places); p.failed != nil {
		p.failed = fmt.Errorf("plugin %s: %w", name, p.failed)
		p.close()
		p.instances = nil
	}
	return p
}

func (p *plugin) make(dir string, places int) error {
	rules, kind, own, err := chain.Rules(p.name, p.texts, faultBudget)
	if err != nil {
		return err
	}
	p.rules = rules
	if confined[kind] {
		own[keyDir] = dir // whatever settings say, which whoever may change them could point elsewhere
	}
	for range places {
		one, err := chain.Make(kind, sdk.NewConfig(own))
		if err != nil {
			return err
		}
		p.instances = append(p.instances, one)
	}
	rules.Interceptor = p.instances[0]
	return rules.Check()
}

// among reports whether one of those settings is the plugin's.
func (p *plugin) among(named []string) bool {
	return slices.ContainsFunc(named, func(key string) bool { return strings.HasPrefix(key, "plugin."+p.name+".") })
}

// same reports whether the plugin is what those settings want, broken or not.
func (p *plugin) same(texts map[string]string) bool {
	return p != nil && maps.Equal(p.texts, texts)
}

// close ends the instances that have something to end.
func (p *plugin) close() {
	for _, one := range p.instances {
		closeInstance(one)
	}
}

func closeInstance(one sdk.Interceptor) {
	defer func() { _ = recover() }() // it is not used any more, whatever it says
	if c, ok := one.(io.Closer); ok {
		_ = c.Close()
	}
}
