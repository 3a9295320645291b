// The array: P PEs that hold a tile of P output channels, the barrier between them, a
// neuron behind each, and the sequencer of the stages.
//
// A layer begins with a reset. Its inputs are written line by line, then its tiles are
// loaded one after another, each as words of one of three kinds: the bias of a PE, a
// word of a PE's stream as it was exported, and the end of the tile.

module pe_array #(
    parameter int P              = 16,
    parameter int VALUE_BITS     = 8,
    parameter int INDEX_BITS     = 16,
    parameter int INPUT_BITS     = 1,
    parameter int LANES          = 32,
    parameter int LINES          = 512,
    parameter int DEPTH          = 64,
    parameter int ENTRIES        = 256,
    parameter int SUM_BITS       = 24,
    parameter int POTENTIAL_BITS = 32,
    parameter int FRACTION       = 6,
    parameter bit SKIP_SPIKES    = 0,
    parameter int LOOKAHEAD      = 1,
    localparam int LINE_BITS    = $clog2(LINES),
    localparam int ADDRESS_BITS = LINE_BITS + $clog2(LANES),
    localparam int ENTRY_BITS   = $clog2(ENTRIES),
    localparam int PE_BITS      = P > 1 ? $clog2(P) : 1
) (
    input logic clock,
    input logic reset,

    // The layer; constant while it runs.
    input logic [               1:0] barrier_kind,    // 0: pixel, 1: time step, 2: tile
    input logic [              31:0] intervals,       // between barriers, of a tile
    input logic [              15:0] tiles,
    input logic [              15:0] columns,         // of the output
    input logic [              15:0] rows,
    input logic [              15:0] pixels,
    input logic [              15:0] steps,           // time steps of the neurons
    input logic                      analog,          // one run serves all time steps
    input logic [               7:0] kernel_rows,
    input logic [               7:0] kernel_columns,
    input logic [  ADDRESS_BITS-1:0] channel_size,    // of an input with its padding
    input logic [  ADDRESS_BITS-1:0] row_step,        // from a kernel row to the next
    input logic [  ADDRESS_BITS-1:0] column_step,
    input logic [  ADDRESS_BITS-1:0] stride,          // from an output pixel to the next
    input logic [  ADDRESS_BITS-1:0] row_stride,
    input logic [  ADDRESS_BITS-1:0] frame,           // from a time step to the next
    input logic [POTENTIAL_BITS-1:0] threshold,

    // Inputs.
    input logic                        line_write,
    input logic [       LINE_BITS-1:0] line_number,
    input logic [LANES*INPUT_BITS-1:0] line,

    // Tiles.
    input  logic                             load_valid,
    output logic                             load_ready,
    input  logic [                      1:0] load_kind,   // 0: bias, 1: word, 2: end
    input  logic [              PE_BITS-1:0] load_pe,
    input  logic [INDEX_BITS+VALUE_BITS-1:0] load_word,   // {index, value}
    input  logic [       POTENTIAL_BITS-1:0] load_bias,

    // Outputs: a time step of a pixel of a tile, pixel by pixel.
    output logic                  fire,
    output logic [          31:0] fire_count,
    output logic [         P-1:0] spikes,
    output logic [P*SUM_BITS-1:0] sums,
    output logic                  finished,

    // Counters.
    output logic [31:0] fill_cycles,
    output logic [31:0] compute_cycles,
    output logic [31:0] stall_cycles,
    output logic [31:0] drain_cycles,
    output logic [47:0] busy_cycles,
    output logic [47:0] gated_cycles,
    output logic [47:0] idle_cycles
);
  localparam logic [1:0] BIAS = 2'd0, WORD = 2'd1, END = 2'd2;

  logic [P-1:0] busy, gated, waiting;
  logic running, pass, computed, advance, take, fire_first, fire_clear;
  logic [ENTRY_BITS-1:0] fire_entry;
  logic [ADDRESS_BITS-1:0] offset;
  logic [15:0] runs;

  assign runs = analog ? 16'd1 : steps;
  assign take = load_valid && load_ready;

  offset_decoder #(
      .INDEX_BITS(INDEX_BITS),
      .ADDRESS_BITS(ADDRESS_BITS)
  ) decoder (
      .index(load_word[VALUE_BITS+:INDEX_BITS]),
      .kernel_rows,
      .kernel_columns,
      .channel_size,
      .row_step,
      .column_step,
      .offset
  );

  for (genvar number = 0; number < P; number++) begin : pes
    logic mine;
    logic [SUM_BITS-1:0] sum;
    // Three tiles are under way: one is loaded, one is computed, one fires.
    logic [POTENTIAL_BITS-1:0] bias_of_next, bias_of_tile, bias_of_fired;

    assign mine = take && load_pe == PE_BITS'(number);
    assign sums[number*SUM_BITS+:SUM_BITS] = sum;

    always_ff @(posedge clock) begin
      if (advance) begin
        bias_of_next  <= '0;
        bias_of_tile  <= bias_of_next;
        bias_of_fired <= bias_of_tile;
      end else if (reset) bias_of_next <= '0;
      else if (mine && load_kind == BIAS) bias_of_next <= load_bias;
    end

    pe #(
        .VALUE_BITS(VALUE_BITS),
        .INPUT_BITS(INPUT_BITS),
        .LANES(LANES),
        .LINES(LINES),
        .DEPTH(DEPTH),
        .ENTRIES(ENTRIES),
        .SUM_BITS(SUM_BITS),
        .SKIP_SPIKES(SKIP_SPIKES),
        .LOOKAHEAD(LOOKAHEAD)
    ) pe (
        .clock,
        .reset,
        .barrier(barrier_kind),
        .columns,
        .rows,
        .runs,
        .stride,
        .row_stride,
        .frame,
        .line_write,
        .line_number,
        .line,
        .word_write(mine && load_kind == WORD),
        .word_offset(offset),
        .word_value(load_word[VALUE_BITS-1:0]),
        .advance,
        .running,
        .pass,
        .busy(busy[number]),
        .gated(gated[number]),
        .waiting(waiting[number]),
        .clear(fire_clear),
        .fire_entry,
        .fire_sum(sum)
    );

    neuron #(
        .SUM_BITS(SUM_BITS),
        .POTENTIAL_BITS(POTENTIAL_BITS),
        .FRACTION(FRACTION)
    ) neuron (
        .clock,
        .step(fire),
        .first(fire_first),
        .sum,
        .bias(bias_of_fired),
        .threshold,
        .spike(spikes[number])
    );
  end

  barrier #(
      .P(P)
  ) barrier (
      .clock,
      .reset,
      .running,
      .waiting,
      .intervals,
      .pass,
      .done(computed)
  );

  sequencer #(
      .ENTRY_BITS(ENTRY_BITS)
  ) sequencer (
      .clock,
      .reset,
      .tiles,
      .pixels,
      .steps,
      .analog,
      .load_ready,
      .load_end(take && load_kind == END),
      .running,
      .computed,
      .advance,
      .finished,
      .fire,
      .fire_first,
      .fire_clear,
      .fire_entry,
      .fire_count,
      .fill_cycles,
      .compute_cycles,
      .stall_cycles,
      .drain_cycles
  );

  pe_counters #(
      .P(P)
  ) counters (
      .clock,
      .reset,
      .running,
      .busy,
      .gated,
      .busy_cycles,
      .gated_cycles,
      .idle_cycles
  );
endmodule
