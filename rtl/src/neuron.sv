// A leaky integrate-and-fire neuron with hard reset, for one output pixel after another.
//
// With the input x of a time step, tau = 4/3 and the threshold of the layer:
//   v <- v + (x - v) / tau = (v + 3 x) / 4;  a spike if v >= threshold, and then v <- 0.
// x is the sum of the PE and the bias of the channel in units of 2^-FRACTION; the
// division rounds down. All time steps of a pixel follow each other, so that the
// potential is a register, and not a memory.

module neuron #(
    parameter int SUM_BITS       = 24,
    parameter int POTENTIAL_BITS = 32,
    parameter int FRACTION       = 6
) (
    input  logic                             clock,
    input  logic                             step,   // a time step passes
    input  logic                             first,  // of the pixel: the potential is 0
    input  logic signed [      SUM_BITS-1:0] sum,
    input  logic signed [POTENTIAL_BITS-1:0] bias,
    input  logic signed [POTENTIAL_BITS-1:0] threshold,
    output logic                             spike
);
  logic signed [POTENTIAL_BITS-1:0] potential, previous, current, charged;

  assign previous  = first ? '0 : potential;
  assign current = (POTENTIAL_BITS'(sum) <<< FRACTION) + bias;
  assign charged = (previous + current + (current <<< 1)) >>> 2;
  assign spike   = charged >= threshold;

  always_ff @(posedge clock) if (step) potential <= spike ? '0 : charged;
endmodule
