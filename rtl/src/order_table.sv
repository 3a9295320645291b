// The index table that an optimized order needs where the next layer's streams are not
// renumbered: which channel stands at a place of the schedule. The array itself has
// none; it is here to be counted.

module order_table #(
    parameter int CHANNELS = 64,
    localparam int BITS = $clog2(CHANNELS)
) (
    input  logic            clock,
    input  logic            write,
    input  logic [BITS-1:0] place,
    input  logic [BITS-1:0] new_channel,
    output logic [BITS-1:0] channel
);
  logic [BITS-1:0] channels[CHANNELS];

  always_ff @(posedge clock) if (write) channels[place] <= new_channel;
  assign channel = channels[place];
endmodule
