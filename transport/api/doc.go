// Package api names everything that zero's programs say to each other: the
// requests of seed 000 ("arrows"), their JSON bodies, the answer's codes and
// the stamp that orders the orders.
//
// # Source
//
// Seed 000 defines four arrows. Each request is a name and a JSON body, each
// answer is {code, data, errMsg}:
//
//	arrow 1  zeroproxy  → zerokeeper  ConfigFetch ProxyRegister ProxyUnregister
//	                                  ClusterDatasourcesSwitch ProxyHeartbeat
//	arrow 2  zerokeeper → zeroproxy   PushConfig RollbackConfig UnregisterProxy
//	                                  ActivateProxy ProxyVoteFetch
//	                                  SwitchProxyDatasource RollbackProxyDatasource
//	                                  StopWritingProxyDatasource
//	                                  RecoverWritingProxyDatasource
//	arrow 3  zerokeeper → zeroagent   LoadFetch BinlogFetch (and ours: StateFetch
//	                                  PrepareDatasource FenceDatasource
//	                                  WaitPosition PromoteDatasource
//	                                  FollowDatasource RestoreDatasource
//	                                  PreflightDatasource
//	                                  StopReceivingDatasource
//	                                  DrainDatasource ResumeDatasource)
//	arrow 4  zeroagent  → zerokeeper  AgentHeartbeat
//
// Names and members of the seed are kept to the letter. Members that zero adds
// are optional for the sender. What an operator's zeroctl asks is in
// operator.go; it travels in the same way.
//
// # Carriage
//
// A request is an op-2 invoke (package wire): the name is the invoke's name,
// the JSON object its body. data is a string that holds JSON or YAML; it is
// empty where the seed says "". Orders of arrows 2 and 3 that change something
// carry the metadata keys MetaStamp and MetaSwitchID.
//
// # Invariants
//
//   - The package imports nothing of zero, so that every other may import it.
//   - Codes and names are append-only; a test holds the code table total.
//   - Integers are what the comment on the member says (bytes, seconds, counts).
package api
