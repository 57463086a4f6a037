// Package intercept has the plugins of a broker: it makes them out of settings, gives each
// topic its chains, and sees to it that one instance serves one worker at a time.
//
//	settings ──Plan──▶ Set ──Use──▶ Host ──Filter──▶ shard.Settings of each topic
//	                    │             │
//	        what cannot │             │ places: one runner and one instance of each
//	        be made is  │             │ plugin; a partition always has the same one
//	        refused     ▼             ▼
//	               INVALID_CONFIG   Filter.Enter(partition) ─▶ Place.Run ─▶ Place.Leave
//
// A partition is served by one place, so that batches of it are seen in order by one
// instance, and what an instance remembers (keys that it has seen, a rate) is the whole truth
// about its partitions.
//
// What must stay true:
//
//   - Making a plugin may take a second (a module is compiled), and whoever applies metadata has
//     others to serve: Plan has it made by a maker, answers Pending, and is asked again.
//   - A set is made aside and taken into use as a whole; until then, and when it cannot be
//     made, the one before serves.
//   - Whoever enters a place looks for its topic's filter after that. So an instance that
//     no filter of the newest settings has is nobody's any more once its place was entered
//     after they were published: it is closed then.
//   - A topic whose settings name a plugin that is not there takes no records (fail closed).
package intercept
