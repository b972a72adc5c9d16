// Package netns gives tests a network of real hosts on one machine: network
// namespaces, each with an address of its own, and cables (veth pairs) from
// each to a switch (a bridge in a namespace of its own). Cables can be
// unplugged; what one host sends to another can be lost, one way or both; a
// host can get another address; and a cable can be made slow or lossy. Nothing
// of it is visible in the namespace of the test, whose processes and sockets of
// the file system's the hosts share.
//
// It is for Linux, needs root, or the capabilities SYS_ADMIN and NET_ADMIN, and
// the command ip of the package iproute2. Where one of these is missing New
// skips the test.
package netns
