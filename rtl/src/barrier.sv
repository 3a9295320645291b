// The barrier: it opens when all PEs wait, and counts how often it has to in a tile.
//
// The cycle in which it opens is the one cycle that a barrier costs: no PE works in it.

module barrier #(
    parameter int P = 16
) (
    input  logic         clock,
    input  logic         reset,
    input  logic         running,
    input  logic [P-1:0] waiting,
    input  logic [ 31:0] intervals,  // of a tile
    output logic         pass,       // the next interval begins
    output logic         done        // all intervals of the tile are behind
);
  logic [31:0] passed;
  logic all_wait, last;

  assign all_wait = &waiting;
  assign last = passed + 1'b1 == intervals;
  assign pass = running && all_wait && !last;
  assign done = running && all_wait && last;

  always_ff @(posedge clock)
    if (reset || done) passed <= '0;
    else if (pass) passed <= passed + 1'b1;
endmodule
