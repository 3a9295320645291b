// One processing element: it walks through its stream at every output pixel and time
// step, adds a weight where the input at its place spikes, and waits at barriers.
//
// A candidate is one word of the stream at one pixel and time step. While the candidate
// found in the cycle before is added, the next one is searched. Without SKIP_SPIKES it
// is taken as it comes, and a cycle without a spike is gated. With it, LOOKAHEAD
// candidates are examined at once, and the first that meets a spike is taken.
//
// Streams and sums have two banks: one holds the tile that is computed, the other the
// stream of the next tile, and the sums of the tile before, which fires.

`ifdef SYNTHESIS
`define UNTIL_FOUND
`else
// Synthesis needs a constant number of turns. Those behind the candidate do nothing, so
// a simulator need not make them.
`define UNTIL_FOUND && !found && !ended
`endif

module pe #(
    parameter int VALUE_BITS  = 8,
    parameter int INPUT_BITS  = 1,    // 1: spikes; more: signed analog inputs
    parameter int LANES       = 32,   // inputs that are written at once
    parameter int LINES       = 512,  // of LANES inputs each
    parameter int DEPTH       = 64,   // words of a stream; a power of two
    parameter int ENTRIES     = 256,  // pixels x time steps; a power of two
    parameter int SUM_BITS    = 24,
    parameter bit SKIP_SPIKES = 0,
    parameter int LOOKAHEAD   = 1,
    localparam int LANE_BITS    = $clog2(LANES),
    localparam int LINE_BITS    = $clog2(LINES),
    localparam int ADDRESS_BITS = LINE_BITS + LANE_BITS,
    localparam int WORD_BITS    = $clog2(DEPTH),
    localparam int ENTRY_BITS   = $clog2(ENTRIES)
) (
    input logic clock,
    input logic reset,

    // How the layer is walked through; constant while it runs.
    input logic [             1:0] barrier,     // 0: pixel, 1: time step, 2: tile
    input logic [            15:0] columns,     // of the output
    input logic [            15:0] rows,
    input logic [            15:0] runs,        // time steps; 1 for an analog input
    input logic [ADDRESS_BITS-1:0] stride,      // from an output pixel to the next
    input logic [ADDRESS_BITS-1:0] row_stride,  // from an output row to the next
    input logic [ADDRESS_BITS-1:0] frame,       // from a time step to the next

    // Loading: inputs, and the stream of the next tile.
    input logic                        line_write,
    input logic [       LINE_BITS-1:0] line_number,
    input logic [LANES*INPUT_BITS-1:0] line,
    input logic                        word_write,
    input logic [    ADDRESS_BITS-1:0] word_offset,
    input logic [      VALUE_BITS-1:0] word_value,

    // Computing.
    input  logic advance,  // the banks change roles
    input  logic running,  // a tile is computed
    input  logic pass,     // the barrier opens
    output logic busy,
    output logic gated,
    output logic waiting,  // at the barrier

    // Firing: the sums of the tile before are read, and cleared for the one after next.
    input  logic                  clear,
    input  logic [ENTRY_BITS-1:0] fire_entry,
    output logic [  SUM_BITS-1:0] fire_sum
);
  logic [ADDRESS_BITS+VALUE_BITS-1:0] words[2*DEPTH];
  logic [       LANES*INPUT_BITS-1:0] lines[LINES];
  logic [               SUM_BITS-1:0] sums [2*ENTRIES];

  localparam logic [1:0] PIXEL = 2'd0, TILE = 2'd2;

  logic bank;
  logic [WORD_BITS:0] length, length_of_next;

  // Where the walk is: the first candidate that has not been taken or passed over.
  logic [WORD_BITS-1:0] word;
  logic [15:0] column, row, run;
  logic [ADDRESS_BITS-1:0] pixel_base, row_base, run_base;
  logic [ENTRY_BITS-1:0] entry;
  logic at_end;  // of the interval that the next barrier closes

  // What was found for this cycle.
  logic active, meets;
  logic [SUM_BITS-1:0] addend;
  logic [ENTRY_BITS-1:0] target;

  assign busy = running && active && meets;
  assign gated = running && active && !meets;
  assign waiting = !active;

  // ------------------------------------------------------------------ streams and sums

  always_ff @(posedge clock) begin
    if (line_write) lines[line_number] <= line;
    if (word_write)
      words[{!bank, length_of_next[WORD_BITS-1:0]}] <= {word_offset, word_value};
    if (reset) begin
      bank <= 1'b0;
      length <= '0;
      length_of_next <= '0;
    end else if (advance) begin
      bank <= !bank;
      length <= length_of_next;
      length_of_next <= '0;
    end else if (word_write) length_of_next <= length_of_next + 1'b1;
  end

  // Firing leaves zeros behind; before the first tile there are none.
  initial for (int i = 0; i < 2 * ENTRIES; i++) sums[i] = '0;

  always_ff @(posedge clock) begin
    if (busy) sums[{bank, target}] <= sums[{bank, target}] + addend;
    if (clear) sums[{!bank, fire_entry}] <= '0;
  end

  assign fire_sum = sums[{!bank, fire_entry}];

  // ---------------------------------------------------------------- the next candidate

  // The walk is the state of this process alone, which moves it step by step: hence
  // blocking assignments. No `always_ff`, since simulators leave the loop early.
  /* verilator lint_off BLKSEQ */
  always @(posedge clock) begin : search
    logic found, ended;
    logic [WORD_BITS:0] words_of_stream;
    logic [ADDRESS_BITS-1:0] offset, address;
    logic [VALUE_BITS-1:0] weight;
    logic [LANES*INPUT_BITS-1:0] seen;
    logic [INPUT_BITS-1:0] value;

    if (reset || advance) begin
      word = '0;
      column = '0;
      row = '0;
      run = '0;
      pixel_base = '0;
      row_base = '0;
      run_base = '0;
      entry = '0;
      at_end = 1'b0;
    end else if (pass) at_end = 1'b0;

    words_of_stream = advance ? length_of_next : length;
    found = 1'b0;
    ended = at_end || words_of_stream == 0;
    for (int turn = 0; turn < LOOKAHEAD `UNTIL_FOUND; turn++) begin
      if (!found && !ended) begin
        {offset, weight} = words[{bank^advance, word}];
        address = pixel_base + offset;
        seen = lines[address[ADDRESS_BITS-1:LANE_BITS]];
        value = seen[address[LANE_BITS-1:0]*INPUT_BITS+:INPUT_BITS];
        found = !SKIP_SPIKES || value != 0;
        meets <= value != 0;
        target <= entry;
        addend <= product(weight, value);

        if ({1'b0, word} + 1'b1 != words_of_stream) word = word + 1'b1;
        else begin
          // The stream is at its end, so the pixel is done.
          word  = '0;
          entry = entry + 1'b1;
          ended = barrier == PIXEL;
          if (column + 1'b1 != columns) begin
            column = column + 1'b1;
            pixel_base = pixel_base + stride;
          end else begin
            column = '0;
            if (row + 1'b1 != rows) begin
              row = row + 1'b1;
              row_base = row_base + row_stride;
            end else begin
              row = '0;
              run = run + 1'b1;
              run_base = run_base + frame;
              row_base = run_base;
              ended = barrier != TILE || run == runs;
            end
            pixel_base = row_base;
          end
        end
        at_end = ended;
      end
    end
    // Looking past the last spike of an interval costs nothing; finding none in the
    // window costs a cycle.
    active <= !reset && (found || !ended);
  end
  /* verilator lint_on BLKSEQ */

  // A spike adds the weight; an analog input is multiplied with it.
  function automatic logic [SUM_BITS-1:0] product(input logic [VALUE_BITS-1:0] weight,
                                                  input logic [INPUT_BITS-1:0] value);
    logic signed [VALUE_BITS+INPUT_BITS-1:0] exact;
    exact   = $signed(weight) * $signed(value);
    product = INPUT_BITS == 1 ? SUM_BITS'($signed(weight)) : SUM_BITS'(exact);
  endfunction
endmodule
