// Package switches measures planned switches of the primary: real keepers,
// proxies, agents and MariaDB, and clients that write all the time. Of each switch
// it tells the longest pause that the clients saw, what the keepers' record says of
// it, and the time of each step; beside that the errors of clients and the rows
// that were lost. Two builds are compared by taking turns on one machine (Arm).
package switches
