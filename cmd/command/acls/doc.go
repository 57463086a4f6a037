// Package acls shows and changes who may do what with a cluster, as Kafka's tool does.
//
//	flags ──▶ Wish ──Changes──▶ resources and entries ──▶ Add, Remove
//	                └─Resources──▶ filters ─────────────▶ List
//
// A Wish is what somebody wrote on a command line: principals, hosts and operations times
// resources, or what the role of a producer or a consumer needs.
package acls
