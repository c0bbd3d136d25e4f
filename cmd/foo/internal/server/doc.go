// Package server is a Foo server for tests, demonstrations and measurements.
// It answers each request by its own words, so that a client can tell whether
// an answer is its own, and can be made to refuse, to be late and to answer
// out of order.
//
// It sends nothing but answers, and ends no connection before its client does,
// except when the server itself is stopped:
//
//  1. it accepts no more connections and reads no more requests;
//  2. it answers all that it has read, late where it is told to be late;
//  3. it half-closes each connection and gives the client a second to take the
//     answers before it closes.
package server
